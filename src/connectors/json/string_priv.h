/* SPDX-License-Identifier: MIT */
#ifndef LADE_JSON_STRING_PRIV_H
#define LADE_JSON_STRING_PRIV_H

/* string_priv.h - what stands between the quotes of a JSON string. */

#include <stddef.h>

/* lade_json_escape_len - the bytes of the escape that begins at @text with a backslash; 0: it is
 * none. */
int lade_json_escape_len(const char *text, size_t len);

/* lade_json_escapes_check - checks the escapes of @text.
 *
 * Returns -1 when all are well-formed, else the offset of the first that is not. */
ptrdiff_t lade_json_escapes_check(const char *text, size_t len);

/* lade_json_unescape - the characters that a string stands for.
 *
 * @ret has room for @len bytes, which always suffice; it may be @text itself.  The escapes
 * are well-formed.
 *
 * Returns their length; -EILSEQ for half of a surrogate pair, -EBADMSG for \u0000. */
ptrdiff_t lade_json_unescape(const char *text, size_t len, char *ret);

/* lade_utf8_len - the length of the UTF-8 character at @text, of which @len > 0 bytes are
 * there.
 *
 * Returns 1 to 4, or 0 when it is none (RFC 3629: no surrogates, no detours, no end
 * beyond U+10FFFF). */
int lade_utf8_len(const char *text, size_t len);

#endif
