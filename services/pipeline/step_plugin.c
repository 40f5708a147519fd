/* SPDX-License-Identifier: MIT */
/* step_plugin.c - a step that a shared library does.
 *
 * DESIGN
 * The library is called on the pool, with a whole batch, one call at a time. What it returns is
 * copied. A plugin shares the process: one that crashes takes the pipeline with it, so the last
 * words name it; what was not finished is read again, as after any crash. */

#include "services/pipeline/engine.h"

#include <lade/plugin.h>

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ERROR_BYTES 256

struct plugin {
	struct lade_pipe_stage *stage;
	void *library;			/* of dlopen */
	const struct lade_plugin *what;
	void *self;			/* the plugin's */
	struct lade_sem free;		/* one call at a time */
	struct lade_pipe_ref document;	/* the message, with what was set */
	unsigned slot;			/* of `into` */
	bool opened;
};

/* A call, as the pool makes it. */
struct call {
	struct plugin *p;
	struct lade_plugin_message *messages;
	size_t n;
	char error[ERROR_BYTES];
	int rc;
};

static __thread const char *in_plugin; /* whose code this thread is in; NULL: ours */

static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
#define CRASHES (sizeof(crashes) / sizeof(*crashes))
static struct sigaction before[CRASHES];

/* The last words of a plugin that crashes; then what would have happened without them: behind this
 * handler the instruction is tried again, under the one before. */
static void on_crash(int number)
{
	static const char words[] = "lade: crashed in the plugin ", after[] =
		"; nothing is lost: what was not finished is read again\n";

	if (in_plugin) {
		(void)!write(STDERR_FILENO, words, sizeof(words) - 1);
		(void)!write(STDERR_FILENO, in_plugin, strlen(in_plugin));
		(void)!write(STDERR_FILENO, after, sizeof(after) - 1);
	}
	for (size_t i = 0; i < CRASHES; i++)
		if (crashes[i] == number)
			sigaction(number, &before[i], NULL);
}

static void name_crashes(void)
{
	const struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK };
	static bool done;

	for (size_t i = 0; !done && i < CRASHES; i++)
		sigaction(crashes[i], &action, &before[i]);
	done = true;
}

static int call_process(void *arg)
{
	struct call *c = arg;

	in_plugin = c->p->stage->config->path;
	c->rc = c->p->what->process(c->p->self, c->messages, c->n, c->error);
	in_plugin = NULL;
	return 0;
}

static int call_open(void *arg)
{
	struct call *c = arg;
	const struct lade_pipe_step *config = c->p->stage->config;

	in_plugin = config->path;
	c->rc = c->p->what->open(config->plugin_config ? config->plugin_config : "", &c->p->self,
				 c->error);
	in_plugin = NULL;
	return 0;
}

/* Messages */

/* What a plugin is told; a message that cannot be written is rejected. */
static int take_message(struct plugin *p, struct lade_pipe_batch *b, uint32_t i,
			struct lade_plugin_message *ret)
{
	struct lade_pipe_message *m = &b->messages[i];
	struct lade_json_error error;
	struct lade_datum document = lade_datum_text(m->bytes, m->len);
	int rc = m->plain ? 0
			  : lade_pipe_message_value(m, b->shape, &p->document, b->reader, &b->arena,
						    &document, &error);

	if (rc == -EBADMSG)
		lade_pipe_reject(b, i, p->stage->config->name, "%s", error.reason);
	if (rc < 0)
		return rc;
	*ret = (struct lade_plugin_message){
		.value = document.text,
		.value_len = document.len,
		.key = m->key.type == LADE_TEXT ? m->key.text : NULL,
		.key_len = m->key.type == LADE_TEXT ? m->key.len : 0,
		.topic = m->lane ? m->lane->topic : "",
		.partition = m->lane ? m->lane->part : 0,
		.offset = m->offset,
		.timestamp_us = m->timestamp_us,
	};
	return 0;
}

static int set_result(struct plugin *p, struct lade_pipe_batch *b, uint32_t i,
		      const struct lade_plugin_message *said)
{
	struct lade_json_span none[1];
	struct lade_json_error error;
	const char *copy;
	int rc;

	if (!said->result || !p->stage->config->into)
		return 0;
	rc = lade_json_read(b->reader, NULL, said->result, said->result_len, LADE_JSON_ANY_ROOT,
			    none, &error);
	if (rc == -EBADMSG) {
		lade_pipe_reject(b, i, p->stage->config->name, "its result is not JSON: %s",
				 error.reason);
		return 0;
	}
	copy = rc == 0 ? lade_arena_copy(&b->arena, said->result, said->result_len) : NULL;
	if (!copy)
		return rc < 0 ? rc : -ENOMEM;
	return lade_pipe_message_set(&b->messages[i], b->shape, p->slot,
				     lade_datum_json(copy, (uint32_t)said->result_len), &b->arena);
}

static int take_verdict(struct plugin *p, struct lade_pipe_batch *b, uint32_t i,
			const struct lade_plugin_message *said)
{
	const char *reason = said->reason ? said->reason : "the plugin gave no reason";

	switch (said->verdict) {
	case LADE_PLUGIN_OK:
		p->stage->passes++;
		return set_result(p, b, i, said);
	case LADE_PLUGIN_DROP:
		b->fates[i].verdict = LADE_VERDICT_DROP;
		return 0;
	case LADE_PLUGIN_RETRY:
		lade_pipe_retry(b, i, "%s", reason);
		return 0;
	case LADE_PLUGIN_REJECT:
		lade_pipe_reject(b, i, p->stage->config->name, "%s", reason);
		return 0;
	default:
		return lade_pipe_fail(p->stage->engine, LADE_EXIT_FAILED,
				      "step %s: %s: %d is no verdict", p->stage->config->name,
				      p->stage->config->path, said->verdict);
	}
}

/* What a failure of the whole call means. */
static int call_failed(struct plugin *p, const struct call *c)
{
	const char *why = *c->error ? c->error : strerror(c->rc);

	p->stage->errors++;
	lade_pipe_trouble(p->stage->engine, p->stage->config->name, p->stage->trouble, "%s: %s",
			  p->stage->config->path, why);
	return c->rc == EAGAIN || c->rc == EBADMSG ? -c->rc : -EIO;
}

static int plugin_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			  const uint32_t *index, uint32_t n)
{
	struct plugin *p = stage->self;
	struct call c = { .p = p };
	uint32_t *kept = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*kept));
	int rc = 0;

	c.messages = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*c.messages));
	if (!c.messages || !kept)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		rc = take_message(p, b, index[i], &c.messages[c.n]);
		if (rc == 0)
			kept[c.n++] = index[i];
		else if (rc != -EBADMSG)
			return rc;
	}
	for (uint32_t j = 0; j < c.n; j++)
		lade_pipe_asked(stage, b, kept[j]);
	stage->calls++;
	rc = lade_sem_acquire(&p->free, 1);
	if (rc < 0)
		return rc;
	rc = lade_blocking(call_process, &c);
	if (rc == 0 && c.rc != 0)
		rc = call_failed(p, &c);
	for (size_t i = 0; rc == 0 && i < c.n; i++)
		rc = take_verdict(p, b, kept[i], &c.messages[i]);
	lade_sem_release(&p->free, 1);
	return rc;
}

/* Opening */

static int config_fail(struct plugin *p, const char *reason)
{
	return lade_pipe_fail_at(p->stage->engine, LADE_EXIT_FAILED,
				 lade_pipe_step_node(p->stage, "plugin"), 0, "step %s: %s: %s",
				 p->stage->config->name, p->stage->config->path, reason);
}

static int load(struct plugin *p)
{
	const struct lade_plugin *(*entry)(void);
	const char *path = p->stage->config->path;
	char here[4096];
	void *symbol;

	/* A bare name would be looked for among the system's libraries. */
	snprintf(here, sizeof(here), "%s%s", strchr(path, '/') ? "" : "./", path);
	p->library = dlopen(here, RTLD_NOW | RTLD_LOCAL);
	if (!p->library)
		return config_fail(p, dlerror());
	symbol = dlsym(p->library, "lade_plugin");
	if (!symbol)
		return config_fail(p, "it exports no lade_plugin(): see lade/plugin.h");
	memcpy(&entry, &symbol, sizeof(entry));
	p->what = entry();
	if (!p->what || p->what->abi != LADE_PLUGIN_ABI ||
	    p->what->message_bytes != sizeof(struct lade_plugin_message))
		return config_fail(p, "it was built for another version of lade/plugin.h: build it "
				      "again");
	return 0;
}

static int plugin_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	struct plugin *p = calloc(1, sizeof(*p));
	struct call c = { .p = p };
	struct lade_json_error error;
	int rc;

	if (!p)
		return -ENOMEM;
	stage->self = p;
	stage->out = in;
	p->stage = stage;
	lade_sem_init(&p->free, 1);
	name_crashes();
	rc = lade_pipe_shape_ask(in, "json .", 6, &p->document, &error);
	if (rc == 0 && stage->config->into &&
	    lade_pipe_shape_get(in, stage->config->into, NULL, &p->slot, &error) < 0)
		rc = config_fail(p, error.reason);
	if (rc == 0)
		rc = load(p);
	if (rc == 0)
		rc = lade_blocking(call_open, &c);
	if (rc == 0 && c.rc != 0)
		rc = config_fail(p, *c.error ? c.error : strerror(c.rc));
	p->opened = rc == 0;
	return rc;
}

static void plugin_close(struct lade_pipe_stage *stage)
{
	struct plugin *p = stage->self;

	if (!p)
		return;
	if (p->opened)
		p->what->close(p->self);
	if (p->library)
		dlclose(p->library);
	free(p);
	stage->self = NULL;
}

const struct lade_pipe_step_ops lade_pipe_plugin = { plugin_open, plugin_process, plugin_close };
