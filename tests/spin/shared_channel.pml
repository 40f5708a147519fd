/* SPDX-License-Identifier: MIT */
/* shared_channel.pml - a model of src/sync/shared_channel.c: two ends, two locks, and who waits.
 *
 * SENDERS tasks send ITEMS items each and RECEIVERS receive until the channel is closed, which may be
 * at any moment; CANCELS waits are called off, each of which is tried anew. What must hold: each item
 * that was sent is received once, no other is, and whatever can go on does (spin calls the rest an
 * invalid end state); nobody waits for what is there.
 *
 * Mutants must be found, or the model proves nothing: -DBLIND_WAIT, a receiver begins to wait without
 * a look under both locks; -DONE_LOCK, and under its own alone; -DEARLY_COUNT, an item is counted
 * before it is in its place; -DSURE_CANCEL, a wait that was served is answered as called off;
 * -DUNSEEN_SENDERS, a place is not given to who waits for it; -DSTALE_LOOK, an item is put into the
 * place that has become free without a look at what was received. tests/spin/run checks all of it. */

#ifndef PLACES
#define PLACES 1
#endif
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef RECEIVERS
#define RECEIVERS 1
#endif
#ifndef ITEMS
#define ITEMS 2
#endif
#define TASKS (SENDERS + RECEIVERS)
#define NOTHING 255

bool in_lock, out_lock, closed;
byte in_count, in_seen, out_count, out_seen;
byte ring[PLACES] = NOTHING;

/* The lists; changed under both locks. */
chan senders = [SENDERS] of { byte };
chan receivers = [RECEIVERS] of { byte };

/* Of each task that waits. */
byte slot[TASKS];
bool waiting[TASKS], over[TASKS], mail[TASKS];

byte cancels = CANCELS;
byte sent[SENDERS * ITEMS], got[SENDERS * ITEMS];

/* Takes both locks; the caller's atomic goes on with them. */
inline lock_both()
{
	!in_lock;
	in_lock = true;
	!out_lock;
	out_lock = true
}

inline unlock_both()
{
	assert(len(receivers) == 0 || in_count == out_count);
	assert(len(senders) == 0 || in_count - out_count == PLACES);
	out_lock = false;
	in_lock = false
}

inline look_at_out()
{
	if
	:: in_count - in_seen == PLACES -> in_seen = out_count
	:: else
	fi
}

inline look_at_in()
{
	if
	:: out_seen == out_count -> out_seen = in_count
	:: else
	fi
}

/* Waits for the mail, or calls the wait off. */
inline await(list)
{
	if
	:: atomic { mail[me] -> mail[me] = false; called_off = false }
	:: atomic {
		cancels > 0 -> cancels--;
		lock_both();
		called_off = waiting[me];
		if
		:: called_off -> list??eval(me)
		:: else
		fi;
		waiting[me] = false;
#ifdef SURE_CANCEL
		called_off = true;
#endif
		unlock_both()
	   }
		if
		:: atomic { !called_off -> mail[me]; mail[me] = false }
		:: called_off
		fi
	fi
}

proctype sender(byte me)
{
	byte item = me * ITEMS, to;
	bool called_off, room, ended;

	do
	:: item == (me + 1) * ITEMS || ended -> break
	:: else ->
		atomic {
			!in_lock -> in_lock = true;
			look_at_out();
			room = in_count - in_seen < PLACES;
			to = NOTHING
		}
		if
		:: atomic { closed -> in_lock = false; ended = true }
		:: atomic { !closed && len(receivers) > 0 ->
			!out_lock;
			receivers?to;
			waiting[to] = false;
			slot[to] = item;
			in_lock = false }
			mail[to] = true;
			sent[item]++;
			item++
		:: !closed && len(receivers) == 0 && room ->
#ifdef EARLY_COUNT
			in_count++;
			ring[(in_count - 1) % PLACES] = item;
			atomic { in_lock = false; sent[item]++; item++ }
#else
			ring[in_count % PLACES] = item;
			atomic { in_count++; in_lock = false; sent[item]++; item++ }
#endif
		:: !closed && len(receivers) == 0 && !room ->
			in_lock = false;
			atomic {
				lock_both();
				look_at_out();
				room = closed || in_count - in_seen < PLACES;
				if
				:: !room ->
					slot[me] = item;
					waiting[me] = true;
					over[me] = false;
					senders!me
				:: else
				fi;
				unlock_both()
			}
			if
			:: !room ->
				await(senders);
				if
				:: called_off /* and once more */
				:: !called_off && over[me] -> ended = true
				:: !called_off && !over[me] -> sent[item]++; item++
				fi
			:: else
			fi
		fi
	od
}

proctype receiver(byte me)
{
	byte item, from;
	bool called_off, ended, waits;

	do
	:: ended -> break
	:: else ->
		atomic { !out_lock -> out_lock = true; look_at_in() }
		if
#ifdef UNSEEN_SENDERS
		:: out_seen != out_count ->
#else
		:: len(senders) == 0 && out_seen != out_count ->
#endif
			item = ring[out_count % PLACES];
			atomic { out_count++; out_lock = false; got[item]++ }
		:: else ->
#ifndef ONE_LOCK
			out_lock = false;
#endif
			atomic {
				waits = false;
				from = NOTHING;
#ifndef ONE_LOCK
				lock_both();
#endif
#ifndef BLIND_WAIT
				look_at_in();
#endif
				if
				:: out_seen != out_count ->
					item = ring[out_count % PLACES];
					out_count++;
					got[item]++;
					if
					:: len(senders) > 0 ->
						senders?from;
						waiting[from] = false;
#ifndef STALE_LOOK
						look_at_out();
#endif
						ring[in_count % PLACES] = slot[from];
						in_count++
					:: else
					fi
				:: out_seen == out_count && closed -> ended = true
				:: else ->
					waits = true;
					waiting[me] = true;
					over[me] = false;
					receivers!me
				fi;
#ifdef ONE_LOCK
				out_lock = false
#else
				unlock_both()
#endif
			}
			if
			:: from != NOTHING -> mail[from] = true
			:: else
			fi;
			if
			:: waits ->
				await(receivers);
				if
				:: called_off
				:: !called_off && over[me] -> ended = true
				:: !called_off && !over[me] -> got[slot[me]]++
				fi
			:: else
			fi
		fi
	od
}

/* Closes the channel at some moment. */
proctype closer()
{
	byte who, told;

	atomic {
		lock_both();
		closed = true;
		do
		:: len(senders) > 0 ->
			senders?who;
			waiting[who] = false;
			over[who] = true;
			told = told | (1 << who)
		:: len(senders) == 0 && in_count == out_count && len(receivers) > 0 ->
			receivers?who;
			waiting[who] = false;
			over[who] = true;
			told = told | (1 << who)
		:: else -> break
		od;
		unlock_both()
	}
	for (who : 0 .. TASKS - 1) {
		if
		:: told & (1 << who) -> mail[who] = true
		:: else
		fi
	}
}

init
{
	byte i;

	atomic {
		for (i : 0 .. SENDERS - 1) {
			run sender(i)
		}
		for (i : SENDERS .. TASKS - 1) {
			run receiver(i)
		}
		run closer()
	}
	_nr_pr == 1;
	atomic {
		assert(in_count == out_count && len(senders) == 0 && len(receivers) == 0);
		for (i : 0 .. SENDERS * ITEMS - 1) {
			assert(sent[i] == got[i] && got[i] <= 1)
		}
	}
}
