/* SPDX-License-Identifier: Apache-2.0
 *
 * event_names.h: the kinds of events, for people. */
#ifndef EVENT_NAMES_H
#define EVENT_NAMES_H

#include "cpns_pne.h"

static inline const char *event_name(uint8_t kind)
{
	static const char *const names[] = {
		"ignored", "malformed", "repeated", "identify", "stored", "authenticated",
		"stayed", "refused", "hello", "no hello", "record lost", "slot failed",
	};
	return kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}

#endif
