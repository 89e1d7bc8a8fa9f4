/* SPDX-License-Identifier: Apache-2.0
 *
 * When a hello is said (section 4, "Hello"). Times are kept as what is left of them, or
 * has passed: no clock can wrap under them. */
#include "internal.h"

enum { /* milliseconds */
	FIRST_PAUSE = 5000,
	MAX_PAUSE = 600000,
	IDENTIFY_DELAY = 1000,
	HELLO_SPACING = 1000, /* between two new hellos */
	SAME_HELLO_FOR = 10000
};

static uint32_t less(uint32_t left, uint32_t passed)
{
	return left > passed ? left - passed : 0;
}

static uint32_t more(uint32_t age, uint32_t passed)
{
	return age > UINT32_MAX - passed ? UINT32_MAX : age + passed;
}

/* elapse lets the time pass up to now. */
void cpns_elapse(cpns_pne_t *pne, uint32_t now)
{
	uint32_t passed = now - pne->schedule.now;
	pne->schedule.now = now;
	if (passed > INT32_MAX) /* the clock went back: as if it had stood still */
		return;
	pne->schedule.next = less(pne->schedule.next, passed);
	pne->schedule.answer = less(pne->schedule.answer, passed);
	pne->schedule.made = more(pne->schedule.made, passed);
	pne->line.heard = more(pne->line.heard, passed);
	pne->line.hold = less(pne->line.hold, passed);
	pne->line.look = less(pne->line.look, passed);
}

/* jitter is from 0 to below bound (xorshift32, Marsaglia 2003). */
uint32_t cpns_jitter(cpns_pne_t *pne, uint32_t bound)
{
	uint32_t x = pne->schedule.jitter;
	if (x == 0)
		x = 1;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	pne->schedule.jitter = x;
	return (uint32_t)((uint64_t)x * bound >> 32);
}

void cpns_schedule_begin(cpns_pne_t *pne)
{
	pne->schedule.next_due = true;
	pne->schedule.next = 0;
	pne->schedule.pause = 0;
}

void cpns_schedule_identified(cpns_pne_t *pne, bool everybody)
{
	uint32_t after = everybody ? cpns_jitter(pne, IDENTIFY_DELAY) : 0;
	if (!pne->schedule.answer_due || after < pne->schedule.answer) {
		pne->schedule.answer_due = true;
		pne->schedule.answer = after;
	}
}

/* cpns_schedule_opened is called when a notification or an update has opened. The first
 * hello is said whatever was heard before it. */
void cpns_schedule_opened(cpns_pne_t *pne)
{
	if (pne->schedule.pause != 0 && holds(pne))
		pne->schedule.next_due = false;
}

/* same tells whether an identify that is answered after that time gets the same
 * hello as before. */
static bool same(const cpns_pne_t *pne, uint32_t after)
{
	return pne->schedule.was_made && more(pne->schedule.made, after) < SAME_HELLO_FOR && cpns_same_hello_good(pne);
}

/* cpns_schedule_due tells whether a hello is due, and after which time. */
bool cpns_schedule_due(const cpns_pne_t *pne, uint32_t *after)
{
	uint32_t spacing = pne->schedule.was_made ? less(HELLO_SPACING, pne->schedule.made) : 0;
	bool due = pne->schedule.next_due;
	if (due)
		*after = pne->schedule.next > spacing ? pne->schedule.next : spacing;
	if (!pne->schedule.answer_due)
		return due;
	uint32_t answer = pne->schedule.answer;
	if (answer < spacing && !same(pne, answer))
		answer = spacing;
	if (!due || answer < *after)
		*after = answer;
	return true;
}

/* go_on has the next hello that nobody asks for come after the next pause. */
static void go_on(cpns_pne_t *pne)
{
	uint32_t pause = pne->schedule.pause;
	pause = pause == 0 ? FIRST_PAUSE : pause < MAX_PAUSE / 2 ? 2 * pause : MAX_PAUSE;
	pne->schedule.pause = pause;
	pne->schedule.next_due = true;
	pne->schedule.next = pause - cpns_jitter(pne, pause / 2);
}

/* cpns_schedule_hello says the hello that is due now. */
void cpns_schedule_hello(cpns_pne_t *pne, uint8_t *scratch)
{
	bool unasked = pne->schedule.next_due && pne->schedule.next == 0;
	pne->schedule.answer_due = false;
	cpns_why_t why;
	if (!unasked && same(pne, 0)) {
		why = cpns_say_same_hello(pne, scratch);
	} else {
		if (unasked)
			go_on(pne);
		why = cpns_say_new_hello(pne, scratch);
	}
	cpns_event_t event = {.kind = CPNS_HELLO, .why = (uint8_t)why, .epoch = pne->hello.epoch, .index = pne->hello.index};
	if (why != CPNS_WHY_NONE) {
		event = (cpns_event_t){.kind = CPNS_NO_HELLO, .why = (uint8_t)why};
		/* Nobody has heard it: the next need not wait for an answer to it. It is said
		 * again later, also by a device that holds an EUKey. */
		pne->schedule.was_made = false;
		if (!pne->schedule.next_due) {
			pne->schedule.pause = 0;
			go_on(pne);
		}
	}
	cpns_tell(pne, &event);
}
