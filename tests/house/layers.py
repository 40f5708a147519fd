# SPDX-License-Identifier: MIT
"""layers.py - an include goes down only; services, and the connectors but for base, see public
headers only.

The order is that of `parts` in the root meson.build. A public header belongs to the layer
under which include/lade/meson.build lists it.
"""

import re

import tap

GENERATED = {"lade_config.h", "build_info.h"}
FOR_TESTS = {"tap.h": "src/base", "run.h": "src/core",
             "backend.h": "src/core", "unix_socket.h": "src/io",
             "uring.h": "src/core", "many.h": "src/base",
             "dumped.h": "src/core",
             "descriptors.h": "src/base",
             "brokers.h": "src/connectors/kafka",
             "mock_brokers.h": "src/connectors/kafka",
             "moving_lanes.h": "services/pipeline"}  # the lowest layer that may include it
FOREIGN_TO_SERVICES = re.compile(
    r"\b(\w*epoll\w*|(lib|io_|LADE_)?uring\w*|IORING\w*|pthread\w*|curl_multi_poll|"
    r"curl_multi_wait|curl_easy_perform)\b")
FOREIGN_TO_CONNECTORS = re.compile(
    r"\b(\w*epoll\w*|(lib|io_|LADE_)?uring\w*|IORING\w*|pthread\w*|curl_multi_poll|"
    r"curl_multi_wait|curl_multi_perform|curl_easy_perform)\b")


def public_headers():
    """{'task.h': 'src/core', ...}; a header of no layer (version.h) is not in it."""
    text = tap.read("include/lade/meson.build")
    chunks = re.findall(r"'([\w/]+)' : files\((.*?)\)", text, re.S)
    return {h: layer if layer.startswith("services/") else f"src/{layer}"
            for layer, names in chunks for h in re.findall(r"'([\w.]+)'", names)}


def part_of(path, order):
    """The part to which a source, or an include written from src/, belongs."""
    for part in order:
        if path.startswith((part + "/", part.replace("src/", "", 1) + "/")):
            return part
    return None


def whole_library(order):
    """The parts that make up liblade."""
    return [p for p in order if p.startswith("src/") and p != "src/explore"
            and not p.startswith("src/connectors/")]


def complaints(path, text, order, public):
    """What is wrong with the includes of @path, and with the names in a service."""
    bad = []
    me = public.get(path.rsplit("/", 1)[-1]) if path.startswith("include/") \
        else part_of(path, order)
    service = path.startswith("services/")
    # Rule 11.6: a connector waits as any foreign library can. Its tests make loops to wait on.
    connector = path.startswith("src/connectors/") and not path.endswith("_test.c")

    def complain(line, why):
        bad.append(f"{path}:{line}: {why}")

    for number, line in enumerate(text.splitlines(), 1):
        if service and (m := FOREIGN_TO_SERVICES.search(line)):
            complain(number, f"a service names {m[0]}: that is the work of io or a connector")
        if connector and (m := FOREIGN_TO_CONNECTORS.search(line)):
            complain(number, f"a connector names {m[0]}: it waits by <lade/watch.h>, "
                             "lade_blocking and lade_park")
        m = re.match(r'\s*#\s*include\s*(<lade/([^>]+)>|"([^"]+)")', line)
        if not m:
            continue
        header = m[2] or m[3]
        if m[2]:
            target = public.get(header)
            if header == "lade.h":
                target = whole_library(order)[-1]
            if connector and target != me and "/connectors/" in (target or ""):
                complain(number, f"a connector includes <lade/{header}>: its library would need "
                                 "that of another connector")
        elif header in GENERATED:
            continue
        elif header in FOR_TESTS and path.endswith("_test.c"):
            target = FOR_TESTS[header]
        elif header.startswith("lade/"):
            complain(number, f'write <{header}>, not "{header}"')
            continue
        else:
            target = part_of(header, order)
            if target is None:
                complain(number, f"{header}: own headers are written from src/ "
                                 "(or from the top, for services/)")
                continue
            if path.startswith("include/"):
                complain(number, f"a public header includes {header}, which is not installed")
            if connector and target not in ("src/base", me):
                complain(number, f"a connector includes {header}: only <lade/...>, base and "
                                 "its own")
            if service and target != me:
                complain(number, f"a service includes {header}: only <lade/...> and its own")
        if me and target and order.index(target) > order.index(me):
            complain(number, f"{me} includes {header} of {target}, which is above it")
    return bad


def self_tests(order):
    public = {"task.h": "src/core", "cache.h": "src/cache", "json.h": "src/connectors/json"}

    def check(path, text):
        return complaints(path, text, order, public)

    tap.rejects("an upward include", check("src/base/a.c", '#include "core/task_priv.h"\n'),
                "a.c:1: src/base includes core/task_priv.h of src/core")
    tap.rejects("an upward public include", check("src/core/a.c", "#include <lade/cache.h>\n"),
                "above it")
    tap.rejects("the whole library included by a layer of it",
                check("src/core/a.c", "#include <lade/lade.h>\n"), "above it")
    tap.rejects("an upward include in a public header",
                check("include/lade/task.h", "#include <lade/cache.h>\n"), "above it")
    tap.rejects("tasks in a test of what knows none",
                check("src/base/a_test.c", '#include "run.h"\n'), "above it")
    tap.rejects("a private header in a public one",
                check("include/lade/task.h", '#include "base/list.h"\n'), "not installed")
    tap.rejects("a private header in a service",
                check("services/pipeline/a.c", '#include "core/task_priv.h"\n'),
                "a service includes")
    tap.rejects("a header without its folder", check("src/base/a.c", '#include "list.h"\n'),
                "written from src/")
    for name in ("epoll_wait", "io_uring_enter", "liburing.h", "pthread_create",
                 "curl_multi_poll", "curl_multi_wait", "curl_easy_perform"):
        tap.rejects(f"{name} in a service", check("services/pipeline/a.c", f"\n{name}();\n"),
                    r"a\.c:2: a service names")
    client = "src/connectors/http/a.c"
    for header in ("core/core_priv.h", "core/io_priv.h", "io/pool_priv.h", "sync/select_priv.h",
                   "stream/stream_priv.h", "cache/cache_priv.h", "connectors/json/path_priv.h"):
        tap.rejects(f"{header} in a connector", check(client, f'#include "{header}"\n'),
                    r"a\.c:1: a connector includes")
    tap.rejects("a connector that needs another one",
                check(client, "#include <lade/json.h>\n"), "that of another connector")
    for name in ("epoll_wait", "io_uring_enter", "pthread_create", "curl_multi_poll",
                 "curl_easy_perform"):
        tap.rejects(f"{name} in a connector", check(client, f"\n{name}();\n"),
                    r"a\.c:2: a connector names")
    tap.point("self-test: public headers, base and its own pass in a connector", check(
        client, '#include <lade/task.h>\n#include "base/alloc.h"\n'
        '#include "connectors/http/a_priv.h"\n') + check(
            "src/connectors/http/a_test.c", '#include "backend.h"\n'))
    tap.point("self-test: a downward include passes",
              check("src/core/a.c", '#include <lade/task.h>\n#include "base/list.h"\n'))


def main():
    order, public = tap.parts(), public_headers()
    self_tests(order)
    bad, of_connectors = [], []
    for path in tap.files(".c", ".h", ".cc", ".in"):
        if path.startswith("src/connectors/"):
            of_connectors += complaints(path, tap.read(path), order, public)
        elif path.startswith(("src/", "services/", "cli/", "include/")):
            bad += complaints(path, tap.read(path), order, public)
    tap.point("includes go down only and services see public headers only", bad)
    tap.point("connectors wait by the public interface only", of_connectors)
    tap.point("every folder of sources is a part of the build",
              sorted({f"{p}: its folder is not in parts of the root meson.build"
                      for p in tap.files(".c", ".cc") if p.startswith(("src/", "services/"))
                      and part_of(p, order) is None}))
    tap.done()


if __name__ == "__main__":
    main()
