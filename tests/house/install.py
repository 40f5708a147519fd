# SPDX-License-Identifier: MIT
"""install.py BUILD MESON - what is installed is complete: programs find liblade and each of its
modules by pkg-config, compile, link against the shared and the static libraries, and run."""

import glob
import os
import re
import subprocess
import sys
import tempfile

import tap

# A program for each pkg-config module; it prints what WANTED says.
PROGRAMS = {
    "lade": """#include <stdio.h>
%s
extern const void *const everything[];
int main(void) { return !everything[0] || puts(LADE_VERSION) < 0; }
""",
    "lade-json": """#include <lade/json.h>
#include <stdio.h>
#include <string.h>
extern const void *const everything[];
int main(void)
{
	const char *doc = "{\\"a\\": {\\"id\\": 18446744073709551615}}";
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_reader *reader = NULL;
	struct lade_json_error error;
	struct lade_json_span at;
	unsigned slot;

	if (!everything[0] || !paths || lade_json_reader_new(&reader) < 0 ||
	    lade_json_paths_add(paths, ".a.id", 5, &slot, &error) < 0 ||
	    lade_json_read(reader, paths, doc, strlen(doc), 0, &at, &error) < 0)
		return 1;
	printf("%.*s\\n", (int)at.len, doc + at.at);
	lade_json_reader_free(reader);
	lade_json_paths_free(paths);
	return 0;
}
""",
    "lade-sqlite": """#include <lade/main.h>
#include <lade/join.h>
#include <lade/sqlite.h>
#include <stdio.h>
extern const void *const everything[];
static int app(void)
{
	struct lade_sqlite_query_config config = {
		.db = { .path = ":memory:" },
		.sql = "select i, i + 41 as answer from batch",
		.kind = LADE_SQLITE_ENRICH,
	};
	struct lade_sqlite_batch batch = { .rows = 2 };
	struct lade_sqlite_result result;
	struct lade_sqlite_query *query = NULL;
	struct lade_sqlite_error error = { .text = "" };
	int rc = lade_sqlite_query_new(&config, &query, &error);

	lade_sqlite_result_init(&result, &config);
	if (rc == 0)
		rc = lade_sqlite_query_ask(query, &batch, 1000000000, &result, &error);
	printf("%s %u %s\\n", query ? lade_sqlite_query_column(query, 0) : "", result.rows,
	       error.text);
	lade_sqlite_result_done(&result);
	lade_sqlite_query_free(query);
	return rc;
}
LADE_TASK_VOID(app)
int main(void) { return everything[0] ? lade_main(lade_do(app)) : 1; }
""",
    "lade-http": """#include <lade/main.h>
#include <lade/http.h>
#include <lade/join.h>
#include <errno.h>
#include <stdio.h>
extern const void *const everything[];
static int app(void)
{
	struct lade_http_request request = { .url = "http://127.0.0.1:1/" };
	struct lade_http_reply reply;
	struct lade_http *http;
	int rc = lade_http_new(&(struct lade_http_config){ 0 }, &http);

	if (rc < 0)
		return rc;
	rc = lade_http_fetch(http, &request, &reply);
	puts(rc == -ECONNREFUSED ? "refused" : reply.error);
	lade_http_free(http);
	return 0;
}
LADE_TASK_VOID(app)
int main(void) { return everything[0] ? lade_main(lade_do(app)) : 1; }
""",
    "lade-kafka": """#include <lade/main.h>
#include <lade/join.h>
#include <lade/kafka.h>
#include <stdio.h>
extern const void *const everything[];
static int app(void)
{
	struct lade_kafka_setting acks = { "acks", "1" };
	struct lade_kafka_producer_config config = { .brokers = "127.0.0.1:1" };
	struct lade_kafka_producer *p = NULL;
	struct lade_kafka_error error;
	const char *why = "";
	int rc = lade_kafka_producer_new(&config, &p, &error);

	if (rc < 0)
		return rc;
	lade_kafka_producer_free(p);
	puts(lade_kafka_setting_check(false, &acks, &why) < 0 ? "refused" : why);
	return 0;
}
LADE_TASK_VOID(app)
int main(void) { return everything[0] ? lade_main(lade_do(app)) : 1; }
""",
    "lade-postgres": """#include <lade/main.h>
#include <lade/postgres.h>
#include <lade/join.h>
#include <errno.h>
#include <stdio.h>
extern const void *const everything[];
static int app(void)
{
	struct lade_pg_config config = { .conninfo = "postgres://nobody@127.0.0.1:1/none" };
	struct lade_pg_error error;
	struct lade_pg *db;
	int rc = lade_pg_open(&config, &db, &error);

	if (rc < 0)
		return rc;
	rc = lade_pg_query(db, "select 1", NULL, NULL, &error);
	puts(rc == -EAGAIN && error.exchange == LADE_PG_NOT_SENT ? "not sent" : error.text);
	lade_pg_close(db);
	return 0;
}
LADE_TASK_VOID(app)
int main(void) { return everything[0] ? lade_main(lade_do(app)) : 1; }
""",
}
WANTED = {"lade-json": "18446744073709551615\n", "lade-sqlite": "answer 2 \n",
          "lade-http": "refused\n", "lade-kafka": "refused\n", "lade-postgres": "not sent\n"}


def said(command, **options):
    """(output, complaints) of a command."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **options)
    return done.stdout, [f"failed: {' '.join(command)}", done.stdout] if done.returncode else []


def one(root, name):
    """The path of an installed file."""
    return glob.glob(f"{root}/**/{name}", recursive=True)[0]


def sources(root, module):
    """Two files: a program of the module, and one that links all that its library shows; that of
    liblade includes all headers but those whose inline functions need a library of their own."""
    headers = sorted(os.path.basename(h) for h in glob.glob(f"{root}/**/lade/*.h", recursive=True)
                     if os.path.basename(h) != "kafka.h")
    names = re.findall(r" [TDRB] (lade_\w+)", said(
        ["nm", "-D", "--defined-only", one(root, f"lib{module}.so.0")])[0])
    program = PROGRAMS[module]
    if module == "lade":
        program %= "\n".join(f"#include <lade/{h}>" for h in headers)
    return (program, "".join(f"extern char {n}[];\n" for n in names)
            + "const void *const everything[] = { %s };\n" % ", ".join(["everything", *names]))


def uses(root, module, flags, link):
    """Complaints about a program that is compiled with @flags and linked with @link."""
    for name, text in zip(("program.c", "names.c"), sources(root, module)):
        with open(f"{root}/{name}", "w") as f:
            f.write(text)
    _, bad = said(["cc", *flags, "-o", f"{root}/program", f"{root}/program.c", f"{root}/names.c",
                   *link])
    if bad:
        return bad
    libdir = os.path.dirname(one(root, "liblade.so.0"))
    text, bad = said([f"{root}/program"], env={**os.environ, "LD_LIBRARY_PATH": libdir})
    wanted = WANTED.get(module) or said(["pkg-config", "--modversion", "lade"],
                                        env=pkg_config(root))[0]
    return bad or ([] if text == wanted else [f"prints {text!r} and not {wanted!r}"])


def pkg_config(root):
    folder = os.path.dirname(one(root, "lade.pc"))
    return {**os.environ, "PKG_CONFIG_LIBDIR": folder + ":" + system_path(),
            "PKG_CONFIG_SYSROOT_DIR": ""}


def system_path():
    return said(["pkg-config", "--variable", "pc_path", "pkg-config"])[0].strip()


def flags_of(root, *options):
    """pkg-config's words, with the paths below the temporary root."""
    text, bad = said(["pkg-config", *options], env=pkg_config(root))
    prefix = said(["pkg-config", "--variable=prefix", "lade"], env=pkg_config(root))[0].strip()
    words = [w.replace(prefix, root + prefix, 1) if w[2:].startswith(prefix) else w
             for w in text.split()]
    return words, bad


def static_flags(root, module):
    """The words that link lade's own libraries statically. Foreign ones stay shared: what these
    would need in a static link (libcurl: a dozen libraries) need not be installed."""
    words, bad = flags_of(root, "--libs", "--static", module)
    foreign = said(["pkg-config", "--print-requires-private", module],
                   env=pkg_config(root))[0].split("\n")
    for name in [w.split()[0] for w in foreign if w]:
        needs = set(flags_of(root, "--libs", "--static", name)[0])
        words = [w for w in words if w not in needs - set(flags_of(root, "--libs", name)[0])
                 or w in flags_of(root, "--libs", "--static", "lade")[0]]
    return [re.sub(r"^-l(lade(-\w+)?)$", r"-l:lib\1.a", w) for w in words], bad


def check_module(root, module):
    """Points about one pkg-config module; every one but lade stands on lade."""
    library = f"-l{module}"
    cflags, bad = flags_of(root, "--cflags", module)
    tap.point(f"{module}: the flags name lade-0, the stack probes and frame pointers", bad + [
        f"no {w} in {cflags}" for w in ("/lade-0", "-fstack-clash-protection",
                                         "-fno-omit-frame-pointer")
        if not any(c.endswith(w) for c in cflags)])
    link, bad = flags_of(root, "--libs", module)
    tap.point(f"{module}: a shared link names lade's libraries alone", bad + [
        f"links {w}" for w in link if w.startswith("-l") and w not in ("-llade", library)])
    tap.point(f"{module}: a program runs on the shared library", uses(root, module, cflags, link))
    static, bad = static_flags(root, module)
    tap.point(f"{module}: a program runs on the static library", bad + [
        f"{w} is not static" for w in static if w in ("-llade", library)]
        + uses(root, module, cflags, static))
    tap.rejects(f"{module}: a program without lade's flags", uses(root, module, [], link),
                "No such file")
    if module != "lade":
        tap.rejects(f"{module}: a program that links liblade alone",
                    uses(root, module, cflags, flags_of(root, "--libs", "lade")[0]),
                    "undefined reference")


EXPLORED = """#include <lade/explore.h>
#include <lade/lade.h>
LADE_EXPLORE(nap)
{
	return lade_sleep(lade_ms(5));
}
"""


def check_explorer(root):
    """A point about lade-explore, which a test links instead of lade."""
    flags, bad = flags_of(root, "--cflags", "--libs", "lade-explore")
    with open(f"{root}/nap.c", "w") as f:
        f.write(EXPLORED)
    program = f"{root}/nap"
    bad = bad or said(["cc", f"{root}/nap.c", "-o", program, *flags])[1]
    text, failed = ("", []) if bad else said([program])
    tap.point("lade-explore: one include, one macro, and a test explores", bad or failed or (
        [] if "1 scenarios, 1 points, " in text and " 0 findings, coverage 100 %" in text
        else [f"prints {text!r}"]))


def main():
    build, meson = sys.argv[1:3]
    modules = ["lade"] + [m for m in PROGRAMS if os.path.exists(f"{build}/lib{m}.so.0")
                          and m != "lade"]
    with tempfile.TemporaryDirectory() as root:
        _, bad = said([meson, "install", "-C", build, "--no-rebuild", "--destdir", root])
        tap.point("meson install works with a DESTDIR", bad)
        wanted = [w for m in modules
                  for w in (f"lib{m}.so.0", f"lib{m}.so", f"lib{m}.a", f"{m}.pc")]
        wanted += [f"lade-0/lade/{m.partition('-')[2] or 'version'}.h" for m in modules]
        for pattern in wanted + (["bin/lade"] if os.path.exists(f"{build}/lade") else []):
            tap.point(f"{pattern} is installed",
                      [] if glob.glob(f"{root}/**/{pattern}", recursive=True) else ["it is not"])
        extra = {os.path.basename(f) for f in glob.glob(f"{root}/**/*.pc", recursive=True)}
        tap.point("every module that is installed is tried here",
                  sorted(extra - {f"{m}.pc" for m in [*modules, "lade-explore"]}))
        check_explorer(root)
        for module in modules:
            check_module(root, module)
    tap.done()


main()
