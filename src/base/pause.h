/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_PAUSE_H
#define LADE_BASE_PAUSE_H

/* pause.h - a breath between two looks at what another core is about to write. */

/* lade_pause_core - lets a core rest for some tens of cycles; nothing where it cannot. */
static inline void lade_pause_core(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
