/* SPDX-License-Identifier: MIT */
/* mailbox.pml - a model of src/core/mailbox.c: mail, the mark of a loop that sleeps, and its end.
 *
 * SENDERS threads send MAILS mails each; the loop ends when it has taken all of them. What must hold:
 * the loop never sleeps for good with mail in its box (spin calls that an invalid end state); nobody
 * writes to the eventfd after it was closed; nothing is left in the box or the eventfd.
 *
 * -DTIMERS lets the loop wake for other reasons than mail. Two mutants must be found, or the model
 * proves nothing: -DBLIND_SLEEP, the mark is put into a box that may not be empty; -DHASTY_END, the
 * loop is closed although a wake-up is owed. tests/spin/run checks all of it. */

#define SENDERS 2
#define MAILS 2

/* The mailbox is one word: a number of mails, or the mark. */
byte box;
bool mark;

byte eventfd; /* wake-ups written and not yet read */
bool closed;
byte taken;

proctype sender()
{
	byte i, seen_box;
	bool seen_mark, done;

	for (i : 1 .. MAILS) {
		done = false;
		do
		:: done -> break
		:: else ->
			atomic { seen_box = box; seen_mark = mark }
			/* the compare-and-exchange */
			atomic {
				if
				:: box == seen_box && mark == seen_mark ->
					box++;
					mark = false;
					done = true
				:: else
				fi
			}
		od;
		if
		:: seen_mark ->
			assert(!closed);
			eventfd++
		:: else
		fi
	}
}

proctype loop()
{
	byte owed, heard, list;
	bool asleep, still_marked;

	do
#ifdef HASTY_END
	:: taken == SENDERS * MAILS -> break
#else
	:: taken == SENDERS * MAILS && owed == heard -> break
#endif
	:: else ->
		/* lade_mail_sleep */
		atomic {
#ifdef BLIND_SLEEP
			asleep = true;
			mark = true;
#else
			asleep = box == 0;
			mark = mark || asleep
#endif
		};
		/* poll: with mail in the box it only looks */
		if
		:: atomic { eventfd > 0 -> heard = heard + eventfd; eventfd = 0 }
		:: !asleep
#ifdef TIMERS
		:: asleep
#endif
		fi;
		/* lade_mail_take */
		atomic {
			list = box;
			still_marked = mark;
			box = 0;
			mark = false
		};
		if
		:: asleep && !still_marked -> owed++
		:: else
		fi;
		taken = taken + list
	od;
	closed = true;
	assert(eventfd == 0 && box == 0)
}

init
{
	byte i;

	atomic {
		run loop();
		for (i : 1 .. SENDERS) {
			run sender()
		}
	}
}
