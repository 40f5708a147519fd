/* SPDX-License-Identifier: MIT */
/* frames.c - walks frame pointers, and reads the symbol tables of the files that are loaded.
 *
 * DESIGN
 * The dynamic linker knows exported names only, and most of a program's functions are static. So
 * the file itself is read: the full symbol table is in it unless it was stripped. The look-up is a
 * walk over that table, once for each address that is new: a dump is no hot path.
 *
 * LIMITS  LADE_FRAMES_MAX frames of a stack. FILES_MAX files; addresses in others stay numbers.
 * CODES_MAX stretches of code; a frame whose caller is in another is not found by searching. */

#include "base/alloc.h"
#include "core/frames.h"
#include "core/text.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 16
#define CODES_MAX 64		   /* stretches of code, of which a file has one or two */
#define SEARCHED_BYTES 16384	   /* of a stack, for a frame */
#define FRAME_BYTES (64u << 10)	   /* a frame is not larger */
#define KNOWN_PLACES 256 /* addresses whose names are remembered */

#if __SIZEOF_POINTER__ == 8
typedef Elf64_Ehdr elf_head;
typedef Elf64_Shdr elf_section;
typedef Elf64_Sym elf_symbol;
#else
typedef Elf32_Ehdr elf_head;
typedef Elf32_Shdr elf_section;
typedef Elf32_Sym elf_symbol;
#endif

/* The sanitizer knows frames as they are, and would take the words between them for errors. */
__attribute__((no_sanitize("address"))) static bool read_frame(bool careful, uintptr_t at,
								uintptr_t frame[2])
{
	if (careful)
		return lade_peek(true, frame, (const void *)at, 2 * sizeof(*frame));
	frame[0] = ((const uintptr_t *)at)[0];
	frame[1] = ((const uintptr_t *)at)[1];
	return true;
}

/* Where code is. */
static struct {
	uintptr_t start, end;
} codes[CODES_MAX];
static uint32_t codes_len; /* used */

static int note_codes(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	uint32_t *len = arg;

	(void)bytes;
	for (int i = 0; i < info->dlpi_phnum && *len < CODES_MAX; i++) {
		uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X))
			continue;
		codes[*len].start = start;
		codes[(*len)++].end = start + info->dlpi_phdr[i].p_memsz;
	}
	return 0;
}

void lade_frames_prepare(void)
{
	uint32_t len = 0;

	dl_iterate_phdr(note_codes, &len);
	codes_len = len;
}

static bool is_code(uintptr_t pc)
{
	for (uint32_t i = 0; i < codes_len; i++)
		if (pc - codes[i].start < codes[i].end - codes[i].start)
			return true;
	return false;
}

/* Whether two words on the stack are a frame: the next one, which is farther out, and an address in
 * code. */
static bool is_frame(const struct lade_frames_from *from, uintptr_t at)
{
	uintptr_t frame[2];

	return at % 16 == 0 && at >= from->sp && at < from->high - sizeof(frame) &&
	       lade_peek(true, frame, (const void *)at, sizeof(frame)) && frame[0] > at &&
	       frame[0] - at < FRAME_BYTES && frame[0] < from->high && frame[0] % 16 == 0 &&
	       is_code(frame[1]);
}

/* The innermost frame of code that was interrupted: a function without frame pointers keeps
 * anything in that register, but its callers may have frames. */
static uintptr_t find_frame(const struct lade_frames_from *from)
{
	uintptr_t at = (from->sp + 15) & ~(uintptr_t)15;

	if (is_frame(from, from->bp))
		return from->bp;
	for (uintptr_t end = at + SEARCHED_BYTES; at < end; at += 16)
		if (is_frame(from, at))
			return at;
	return from->bp;
}

uint32_t lade_frames(const struct lade_frames_from *from, bool careful,
		     uintptr_t pcs[LADE_FRAMES_MAX])
{
	uintptr_t bp = from->bp, frame[2];
	uint32_t n = 0;

	if (from->sp)
		bp = find_frame(from);

	if (from->pc)
		pcs[n++] = from->pc;
	while (n < LADE_FRAMES_MAX && bp > from->low && bp < from->high - sizeof(frame) &&
	       bp % sizeof(*frame) == 0 && read_frame(careful, bp, frame) && frame[1]) {
		pcs[n++] = frame[1];
		if (frame[0] <= bp)
			break;
		bp = frame[0];
	}
	return n;
}

uint32_t lade_frames_of(const struct lade_ctl *ctl, const void *bp, bool careful,
			uintptr_t pcs[LADE_FRAMES_MAX])
{
	struct lade_frames_from from = { .pc = (uintptr_t)ctl->context.pc,
					 .bp = (uintptr_t)ctl->context.bp,
					 .low = (uintptr_t)ctl->stack,
					 .high = (uintptr_t)ctl->stack + ctl->stack_bytes };

	if (!ctl->context.sp || !ctl->stack)
		return 0;
	if (bp) {
		from.pc = 0;
		from.bp = (uintptr_t)bp;
	}
	return lade_frames(&from, careful, pcs);
}

/* Files */

/* Looks for the file of an address. */
struct search {
	uintptr_t pc;	  /* the address */
	const char *file; /* where it lies */
	uintptr_t bias;	  /* what was added to the addresses of that file */
};

static int look_into(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	struct search *search = arg;

	(void)bytes;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD ||
		    search->pc - start >= info->dlpi_phdr[i].p_memsz)
			continue;
		search->bias = info->dlpi_addr;
		/* The program itself has no name, and may have been started by a relative one. */
		search->file = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
		return 1;
	}
	return 0;
}

bool lade_file_of(uintptr_t pc, const char **ret_file, uintptr_t *ret_address)
{
	struct search search = { .pc = pc };

	if (!dl_iterate_phdr(look_into, &search))
		return false;
	*ret_file = search.file;
	*ret_address = pc - search.bias;
	return true;
}

/* A file's symbol table. */
struct symbol_file {
	const char *name;	   /* as lade_file_of() gives it */
	const char *bytes;	   /* all of it, mapped; NULL: it cannot be read */
	size_t len;		   /* of bytes */
	const elf_symbol *symbols; /* in it */
	size_t count;		   /* of them */
	const char *names;	   /* their names */
	size_t names_len;	   /* of names */
};

/* A name that has been looked for. */
struct known_place {
	uintptr_t pc;	  /* address; 0: free */
	const char *name; /* of the function, or NULL: none */
	uintptr_t offset; /* of pc in it */
};

struct lade_symbols {
	struct symbol_file files[FILES_MAX];
	uint32_t files_len; /* used */
	struct known_place known[KNOWN_PLACES];
};

struct lade_symbols *lade_symbols_new(void)
{
	return lade_calloc(1, sizeof(struct lade_symbols));
}

struct lade_symbols *lade_symbols_free(struct lade_symbols *s)
{
	for (uint32_t i = 0; s && i < s->files_len; i++)
		if (s->files[i].bytes)
			munmap((void *)(uintptr_t)s->files[i].bytes, s->files[i].len);
	lade_free(s);
	return NULL;
}

static bool lies_inside(const struct symbol_file *f, uint64_t at, uint64_t len)
{
	return at <= f->len && len <= f->len - at;
}

/* Takes one of the file's symbol tables with its names. */
static bool take_table(struct symbol_file *f, const elf_section *sections, uint32_t count,
		       uint32_t type)
{
	for (uint32_t i = 0; i < count; i++) {
		const elf_section *s = &sections[i], *names;

		if (s->sh_type != type || s->sh_link >= count ||
		    !lies_inside(f, s->sh_offset, s->sh_size))
			continue;
		names = &sections[s->sh_link];
		if (!lies_inside(f, names->sh_offset, names->sh_size) || !names->sh_size ||
		    f->bytes[names->sh_offset + names->sh_size - 1])
			continue;
		f->symbols = (const void *)(f->bytes + s->sh_offset);
		f->count = s->sh_size / sizeof(*f->symbols);
		f->names = f->bytes + names->sh_offset;
		f->names_len = names->sh_size;
		return true;
	}
	return false;
}

static void read_tables(struct symbol_file *f)
{
	const elf_head *head = (const void *)f->bytes;
	const elf_section *sections;

	if (f->len < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_shentsize != sizeof(*sections) ||
	    !lies_inside(f, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*sections)))
		return;
	sections = (const void *)(f->bytes + head->e_shoff);
	if (!take_table(f, sections, head->e_shnum, SHT_SYMTAB))
		(void)take_table(f, sections, head->e_shnum, SHT_DYNSYM);
}

static void map_file(struct symbol_file *f)
{
	int fd = open(f->name, O_RDONLY | O_CLOEXEC);
	struct stat status;
	void *bytes = MAP_FAILED;

	if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 0)
		bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd);
	if (bytes == MAP_FAILED)
		return;
	f->bytes = bytes;
	f->len = (size_t)status.st_size;
	read_tables(f);
}

static struct symbol_file *file_called(struct lade_symbols *s, const char *name)
{
	for (uint32_t i = 0; i < s->files_len; i++)
		if (strcmp(s->files[i].name, name) == 0)
			return &s->files[i];
	if (s->files_len == FILES_MAX)
		return NULL;
	s->files[s->files_len].name = name;
	map_file(&s->files[s->files_len]);
	return &s->files[s->files_len++];
}

static void look_up(struct lade_symbols *s, struct known_place *place)
{
	struct symbol_file *f;
	const char *file;
	uintptr_t at;

	place->name = NULL;
	/* A return address lies behind the call, which may be a function's last instruction. */
	if (!lade_file_of(place->pc - 1, &file, &at))
		return;
	f = file_called(s, file);
	for (size_t i = 0; f && i < f->count; i++) {
		const elf_symbol *symbol = &f->symbols[i];

		if ((symbol->st_info & 15) != STT_FUNC ||
		    at - symbol->st_value >= symbol->st_size || symbol->st_name >= f->names_len)
			continue;
		place->name = f->names + symbol->st_name;
		place->offset = at + 1 - symbol->st_value;
		return;
	}
}

void lade_symbol(struct lade_symbols *s, uintptr_t pc, char *text, size_t len)
{
	struct known_place *place;

	if (!s) {
		snprintf(text, len, "%#lx", (unsigned long)pc);
		return;
	}
	place = &s->known[pc / 2 % KNOWN_PLACES];
	if (place->pc != pc) {
		place->pc = pc;
		look_up(s, place);
	}
	if (place->name)
		snprintf(text, len, "%s+%#lx", place->name, (unsigned long)place->offset);
	else
		snprintf(text, len, "%#lx", (unsigned long)pc);
}
