/* SPDX-License-Identifier: MIT */
/* select.pml - a model of src/sync/select.c with cases of shared channels: who does one claims it.
 *
 * A task selects between receiving from CHANNELS shared channels and a timer of its own loop, which
 * also stands for a cancel; on other cores somebody sends to each. What must hold: exactly one case is
 * done, the other items stay in their channels, and nobody touches the select after it has returned.
 *
 * Mutants must be found, or the model proves nothing: -DBOLD_ARM, a case that can be done when it is
 * armed is, without a claim; -DBOLD_TIMER, the timer does not ask; -DHASTY_RETURN, the select returns
 * when its timer is refused, without the mail; -DNO_DISARM, the other cases stay in their lists;
 * -DLOST_REFUSAL, an item that is refused goes nowhere. tests/spin/run checks all of it. */

#define CHANNELS 2
#define TIMER CHANNELS
#define NONE 255

bool lock[CHANNELS], listed[CHANNELS];
byte items[CHANNELS];

/* The select: it is there until it has returned. */
bool returned, claimed, mail;
byte granted, chosen = NONE;

byte got[CHANNELS];

inline take(c)
{
	atomic { !lock[c] -> lock[c] = true }
}

/* The compare-and-exchange; refused where it was claimed before. */
inline claim(ret)
{
	atomic {
		assert(!returned);
		ret = !claimed;
		claimed = true
	}
}

proctype sender(byte c)
{
	bool mine = false;

	take(c);
	if
	:: listed[c] ->
		claim(mine);
		listed[c] = false
	:: else
	fi;
	if
	:: mine ->
		assert(!returned);
		granted = c;
		lock[c] = false;
		assert(!returned);
		mail = true
#ifdef LOST_REFUSAL
	:: !mine && claimed -> lock[c] = false
	:: !mine && !claimed -> items[c]++; lock[c] = false
#else
	:: !mine -> items[c]++; lock[c] = false
#endif
	fi
}

proctype selecting()
{
	byte c = 0, armed;
	bool mine;

	do
	:: c == CHANNELS || chosen != NONE -> break
	:: else ->
		take(c);
		if
		:: items[c] > 0 ->
#ifdef BOLD_ARM
			mine = true;
#else
			claim(mine);
#endif
			if
			:: mine -> items[c]--; got[c]++; chosen = c
			:: else
			fi
		:: else -> listed[c] = true
		fi;
		lock[c] = false;
		c++
	od;
	armed = c;
	do
	:: chosen != NONE -> break
	:: chosen == NONE && mail ->
		chosen = granted;
		got[granted]++
	:: chosen == NONE && !mail -> /* the timer, or a cancel */
#ifdef BOLD_TIMER
		mine = true;
#else
		claim(mine);
#endif
		if
		:: mine -> chosen = TIMER
#ifdef HASTY_RETURN
		:: !mine -> break
#else
		:: !mine -> mail
#endif
		fi
	od;
#ifndef NO_DISARM
	for (c : 0 .. armed - 1) {
		if
		:: c != chosen ->
			take(c);
			listed[c] = false;
			lock[c] = false
		:: else
		fi
	}
#endif
	returned = true
}

init
{
	byte c, done;

	atomic {
		run selecting();
		for (c : 0 .. CHANNELS - 1) {
			run sender(c)
		}
	}
	_nr_pr == 1;
	done = (chosen == TIMER -> 1 : 0);
	for (c : 0 .. CHANNELS - 1) {
		done = done + got[c];
		assert(got[c] + items[c] == 1)
	}
	assert(done == 1)
}
