/* SPDX-License-Identifier: MIT */
#ifndef LADE_LADE_H
#define LADE_LADE_H

/* lade.h - the core library: everything that needs no foreign protocol. */

#include <lade/blocking.h>
#include <lade/cache.h>
#include <lade/channel.h>
#include <lade/cores.h>
#include <lade/dump.h>
#include <lade/event.h>
#include <lade/io.h>
#include <lade/join.h>
#include <lade/loop.h>
#include <lade/main.h>
#include <lade/park.h>
#include <lade/scope.h>
#include <lade/select.h>
#include <lade/shared_channel.h>
#include <lade/stream.h>
#include <lade/task.h>
#include <lade/time.h>
#include <lade/watch.h>

#endif
