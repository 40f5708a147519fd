/* SPDX-License-Identifier: MIT */
/* memory.c - the memory of the explored code: what a cancel leaks.
 *
 * DESIGN
 * The linker leads malloc and its family here (--wrap), in the program's own objects and in the
 * library: what libc or another library allocates for itself is theirs. So nothing in the process
 * is replaced, a sanitizer stays below, and a program that is linked without the option runs as
 * before, only this is not looked at.
 *
 * A block that a task of the body allocates is counted where it was allocated: by the frames then.
 * What is live at the end is no leak by itself: caches keep things, and what is made once is made
 * by whoever comes first. It is one when there is more of it, from the same place, than when
 * nothing was cancelled, and no pointer to it is left: in what the program has in static storage,
 * in the heap, or in a block that is itself reachable. The heap is read as it is, what is free in
 * it too, so a forgotten pointer may hide a leak, and none is made up. Both looks are for the
 * trials that have more; all others have compared a few numbers.
 *
 * LIMITS  BLOCKS_MAX blocks at a time, SITES_MAX places of allocation. */

#include "base/hash.h"
#include "explore/explore_priv.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 65535 /* so that a number has 16 bits */
#define HEADS 512 /* of the lists of blocks */
#define SITE_HEADS (2 * SITES_MAX)

/* A block that is allocated. */
struct block {
	uintptr_t start; /* its address; 0: it has been freed */
	size_t bytes;	 /* its size */
	uint32_t next;	 /* in its list, or in that of the free ones; 0: the last */
	uint16_t site;	 /* where the body allocated it; 0: it was not the body */
	bool reached;	 /* a pointer to it has been found */
};

/* A place where the body allocates. */
struct site {
	uint64_t hash;		    /* of its frames */
	uintptr_t pcs[FRAMES_KEPT]; /* innermost first */
	uint32_t pcs_len;
	const char *task;	    /* name of who allocated there first */
	const char *call;	    /* and the suspending call before it, or NULL */
};

/* What each allocation and each free writes: one page, which a trial has to copy. */
static struct {
	_Alignas(4096) uint32_t heads[HEADS]; /* lists of blocks by address; 0: empty */
	uint16_t live[SITES_MAX];	      /* blocks that are not freed, by site */
} hot;

static struct {
	bool on;			    /* a run is under way */
	bool full;			    /* a limit was reached: nothing is said any more */
	struct block blocks[BLOCKS_MAX];    /* from 1 */
	uint32_t blocks_len;		    /* those that were ever used, and 1 */
	uint32_t unused;		    /* list of those that are free */
	struct site sites[SITES_MAX];	    /* from 1 */
	uint32_t sites_len;		    /* those in use, and 1 */
	uint16_t site_heads[SITE_HEADS];    /* a hash table of them; 0: empty */
} at;

/* Only the thread of the loop is looked at. */
static __thread bool is_ours;

static uint32_t *head_of(uintptr_t start)
{
	return &hot.heads[(start >> 4 ^ start >> 18) % HEADS];
}

static uint64_t hash_of(const uintptr_t *pcs, uint32_t n)
{
	return lade_hash_fnv(LADE_HASH_FNV, pcs, n * sizeof(*pcs));
}

/* Where the running task is: the number of the place, or 0 when there are too many. */
static uint16_t site_here(const void *frame)
{
	struct site here = { .pcs_len = 0 };
	uint32_t i;

	here.pcs_len = lade_frames_of(lade_cur, frame, false, here.pcs);
	here.hash = hash_of(here.pcs, here.pcs_len);
	for (i = here.hash % SITE_HEADS; at.site_heads[i]; i = (i + 1) % SITE_HEADS)
		if (at.sites[at.site_heads[i]].hash == here.hash)
			return at.site_heads[i];
	if (at.sites_len == SITES_MAX) {
		at.full = true;
		return 0;
	}
	here.task = lade_cur->head->type->name;
	here.call = explore_site(lade_cur);
	at.sites[at.sites_len] = here;
	at.site_heads[i] = (uint16_t)at.sites_len;
	return (uint16_t)at.sites_len++;
}

/* Forgets a block.  Returns whether it was known; where it was allocated is in *ret_site. */
static bool forget(const void *mem, uint16_t *ret_site)
{
	uint32_t *link = head_of((uintptr_t)mem);

	while (*link && at.blocks[*link].start != (uintptr_t)mem)
		link = &at.blocks[*link].next;
	if (*link) {
		struct block *b = &at.blocks[*link];
		uint32_t number = *link;

		*ret_site = b->site;
		b->start = 0;
		hot.live[b->site]--;
		*link = b->next;
		b->next = at.unused;
		at.unused = number;
		return true;
	}
	return false;
}

static void remember(const void *mem, size_t bytes, uint16_t site)
{
	uint32_t *head = head_of((uintptr_t)mem);
	uint32_t number = at.unused;
	uint16_t old;

	/* Another thread may have freed it. */
	(void)forget(mem, &old);
	if (number)
		at.unused = at.blocks[number].next;
	else if (at.blocks_len < BLOCKS_MAX)
		number = at.blocks_len++;
	if (!number) {
		at.full = true;
		return;
	}
	at.blocks[number] = (struct block){
		.start = (uintptr_t)mem, .bytes = bytes, .site = site, .next = *head
	};
	hot.live[site]++;
	*head = number;
}

static void allocated(const void *mem, size_t bytes, const void *frame)
{
	bool by_body;

	if (!mem || !at.on || !is_ours)
		return;
	by_body = lade_cur->loop && explore_of_body(lade_cur);
	remember(mem, bytes, by_body ? site_here(frame) : 0);
}

static void freed(const void *mem)
{
	uint16_t site;

	if (mem && at.on && is_ours)
		(void)forget(mem, &site);
}

void explore_memory_begin(void)
{
	if (at.blocks_len) {
		memset(&hot, 0, sizeof(hot));
		memset(at.site_heads, 0, sizeof(at.site_heads));
		memset(at.sites, 0, sizeof(*at.sites));
	}
	at.blocks_len = at.sites_len = 1;
	at.unused = 0;
	at.full = false;
	at.on = is_ours = true;
}

bool explore_memory_full(void)
{
	return at.full;
}

/* What the linker leads here, and what it would have been without. Weak: in a program that is
 * linked without --wrap there is neither. */

#define REAL(type, name, ...) extern type __real_##name(__VA_ARGS__) __attribute__((weak));

REAL(void *, malloc, size_t)
REAL(void *, calloc, size_t, size_t)
REAL(void *, realloc, void *, size_t)
REAL(void *, reallocarray, void *, size_t, size_t)
REAL(void *, aligned_alloc, size_t, size_t)
REAL(int, posix_memalign, void **, size_t, size_t)
REAL(char *, strdup, const char *)
REAL(char *, strndup, const char *, size_t)
REAL(void, free, void *)

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_reallocarray(void *old, size_t n, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
int __wrap_posix_memalign(void **ret, size_t align, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);
void __wrap_free(void *mem);

void *__wrap_malloc(size_t bytes)
{
	void *mem = __real_malloc(bytes);

	allocated(mem, bytes, __builtin_frame_address(0));
	return mem;
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	void *mem = __real_calloc(n, bytes);

	allocated(mem, n * bytes, __builtin_frame_address(0));
	return mem;
}

/* A block that grows stays whose it was. */
static void moved(const void *old, const void *mem, size_t bytes, const void *frame)
{
	uint16_t site;

	if (!mem || !at.on || !is_ours)
		return;
	if (old && forget(old, &site))
		remember(mem, bytes, site);
	else
		allocated(mem, bytes, frame);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	void *mem = __real_realloc(old, bytes);

	if (!mem && !bytes)
		freed(old);
	moved(old, mem, bytes, __builtin_frame_address(0));
	return mem;
}

void *__wrap_reallocarray(void *old, size_t n, size_t bytes)
{
	void *mem = __real_reallocarray(old, n, bytes);

	moved(old, mem, n * bytes, __builtin_frame_address(0));
	return mem;
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	void *mem = __real_aligned_alloc(align, bytes);

	allocated(mem, bytes, __builtin_frame_address(0));
	return mem;
}

int __wrap_posix_memalign(void **ret, size_t align, size_t bytes)
{
	int error = __real_posix_memalign(ret, align, bytes);

	if (!error)
		allocated(*ret, bytes, __builtin_frame_address(0));
	return error;
}

char *__wrap_strdup(const char *text)
{
	char *copy = __real_strdup(text);

	allocated(copy, copy ? strlen(copy) + 1 : 0, __builtin_frame_address(0));
	return copy;
}

char *__wrap_strndup(const char *text, size_t max)
{
	char *copy = __real_strndup(text, max);

	allocated(copy, copy ? strlen(copy) + 1 : 0, __builtin_frame_address(0));
	return copy;
}

void __wrap_free(void *mem)
{
	/* Before: the same address may be given out again. */
	freed(mem);
	__real_free(mem);
}

/* The end of a run */

void explore_memory_keep(struct outcome *out)
{
	for (uint32_t i = 1; i < at.sites_len; i++)
		if (hot.live[i])
			out->kept[out->kept_len++] =
				(struct kept){ .hash = at.sites[i].hash, .live = hot.live[i] };
	at.on = false;
}

static uint32_t kept_at(const struct outcome *out, uint64_t hash)
{
	for (uint32_t i = 0; i < out->kept_len; i++)
		if (out->kept[i].hash == hash)
			return out->kept[i].live;
	return 0;
}

bool explore_memory_grew(const struct outcome *undisturbed)
{
	if (at.full || undisturbed->memory_full)
		return false;
	for (uint32_t i = 1; i < at.sites_len; i++)
		if (hot.live[i] && hot.live[i] > kept_at(undisturbed, at.sites[i].hash))
			return true;
	return false;
}

/* Pointers. The blocks of the body lie in order of their addresses while they are looked for. */

static struct {
	struct block **blocks; /* of the body */
	size_t len;	       /* of them */
	struct block **work;   /* reached, but not looked into yet */
	size_t work_len;
} look;

static int by_start(const void *a, const void *b)
{
	uintptr_t x = (*(struct block *const *)a)->start, y = (*(struct block *const *)b)->start;

	return (x > y) - (x < y);
}

/* The last block that begins at an address or below it, or NULL. */
static struct block *block_below(uintptr_t address)
{
	size_t low = 0, high = look.len;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (look.blocks[middle]->start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? look.blocks[low - 1] : NULL;
}

static void reach(uintptr_t address)
{
	struct block *b = block_below(address);

	if (!b || b->reached || address - b->start >= b->bytes + !b->bytes)
		return;
	b->reached = true;
	look.work[look.work_len++] = b;
}

/* Looks at all words from one address up to another. The sanitizer knows some as not to be read. */
__attribute__((no_sanitize("address"))) static void look_at(uintptr_t from, uintptr_t to)
{
	for (from = (from + sizeof(from) - 1) & -sizeof(from); from + sizeof(from) <= to;
	     from += sizeof(from))
		reach(*(const uintptr_t *)from);
}

/* The same, but for what is this file's own. */
static void look_at_data(uintptr_t from, uintptr_t to)
{
	uintptr_t own = (uintptr_t)&at, own_end = (uintptr_t)(&at + 1);

	if (own < from || own >= to) {
		look_at(from, to);
		return;
	}
	look_at(from, own);
	look_at(own_end, to);
}

/* In its own data malloc has the addresses of what is free, each some bytes before it and so within
 * the block that lies there. */
static bool is_libc(const char *file)
{
	const char *name = strrchr(file, '/');

	return name && (strncmp(name, "/libc.", 6) == 0 || strncmp(name, "/libc-", 6) == 0);
}

static int look_at_file(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	(void)bytes;
	(void)arg;
	if (is_libc(info->dlpi_name))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_LOAD && (p->p_flags & PF_W))
			look_at_data(start, start + p->p_memsz);
		if (p->p_type == PT_TLS && info->dlpi_tls_data)
			look_at((uintptr_t)info->dlpi_tls_data,
				(uintptr_t)info->dlpi_tls_data + p->p_memsz);
	}
	return 0;
}

/* The heap, but for the blocks of the body in it: they count once they are reached. */
static void look_at_heap(uintptr_t from, uintptr_t to)
{
	for (size_t i = 0; i < look.len; i++) {
		const struct block *b = look.blocks[i];

		if (b->start < from || b->start >= to)
			continue;
		look_at(from, b->start);
		from = b->start + b->bytes;
	}
	look_at(from, to);
}

static void find_heap(uintptr_t *ret_from, uintptr_t *ret_to)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512];

	*ret_from = *ret_to = 0;
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "[heap]") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
			*ret_from = from;
			*ret_to = to;
		}
	if (f)
		fclose(f);
}

/* Looks for pointers everywhere, and in what they lead to. */
static void look_everywhere(uintptr_t heap, uintptr_t heap_end)
{
	dl_iterate_phdr(look_at_file, NULL);
	look_at_heap(heap, heap_end);
	for (uint32_t i = 1; i < at.blocks_len; i++) {
		const struct block *b = &at.blocks[i];

		if (b->start && !b->site && (b->start < heap || b->start >= heap_end))
			look_at(b->start, b->start + b->bytes);
	}
	while (look.work_len) {
		const struct block *b = look.work[--look.work_len];

		look_at(b->start, b->start + b->bytes);
	}
}

/* Those of one place that nothing points to any more. */
static uint32_t lost_at(uint16_t site, size_t *ret_bytes)
{
	uint32_t n = 0;

	for (size_t i = 0; i < look.len; i++)
		if (look.blocks[i]->site == site && !look.blocks[i]->reached) {
			*ret_bytes = look.blocks[i]->bytes;
			n++;
		}
	return n;
}

static void find_lost(const struct outcome *undisturbed, struct outcome *out)
{
	for (uint32_t i = 1; i < at.sites_len; i++) {
		const struct site *s = &at.sites[i];
		uint32_t before = hot.live[i] ? kept_at(undisturbed, s->hash) : 0;
		size_t bytes = 0;

		if (hot.live[i] <= before || !lost_at((uint16_t)i, &bytes))
			continue;
		out->leaked = (struct effect){ .site = s->call, .pcs_len = s->pcs_len };
		memcpy(out->leaked.pcs, s->pcs, sizeof(s->pcs));
		out->leaked_blocks = hot.live[i] - before;
		out->leaked_bytes = bytes;
		out->leaked_task = s->task;
		return;
	}
}

void explore_memory_judge(const struct outcome *undisturbed, struct outcome *out)
{
	uintptr_t heap, heap_end;

	at.on = false;
	look.len = look.work_len = 0;
	look.blocks = calloc(at.blocks_len, sizeof(struct block *));
	look.work = calloc(at.blocks_len, sizeof(struct block *));
	if (look.blocks && look.work) {
		for (uint32_t i = 1; i < at.blocks_len; i++)
			if (at.blocks[i].start && at.blocks[i].site)
				look.blocks[look.len++] = &at.blocks[i];
		qsort(look.blocks, look.len, sizeof(struct block *), by_start);
		find_heap(&heap, &heap_end);
		look_everywhere(heap, heap_end);
		find_lost(undisturbed, out);
	}
	free(look.blocks);
	free(look.work);
}
