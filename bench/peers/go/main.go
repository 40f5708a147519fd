// SPDX-License-Identifier: MIT

// peer-go [OPS [WORK]] - the works of `script/bench micro` on goroutines, with one processor.
//
// Each work is done OPS times (default 1,000,000) after a tenth of that to warm up, and
// printed as work, who, metric, unit and value: CPU nanoseconds of this process (its garbage
// collector included) per operation. bench/peers/README.md says what each work is.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	channelItems = 128
	batchItems   = 500
	batchLinger  = 50 * time.Millisecond
	deadline     = 200 * time.Millisecond
)

func check(ok bool, what string) {
	if !ok {
		panic("wrong result: " + what)
	}
}

func yield(n int) {
	var other sync.WaitGroup
	other.Add(1)
	go func() {
		defer other.Done()
		for i := 0; i < n/2; i++ {
			runtime.Gosched()
		}
	}()
	for i := 0; i < n/2; i++ {
		runtime.Gosched()
	}
	other.Wait()
}

func double(x int) int { return x * 2 }

func startJoin(n int) {
	sum := 0
	for i := 0; i < n; i++ {
		done := make(chan int, 1)
		go func() { done <- double(i) }()
		sum += <-done
	}
	check(sum == n*(n-1), "start_join")
}

type user struct {
	id   int
	kind int32
}

func loadUser(id int) user {
	runtime.Gosched()
	return user{id, 7}
}

func loadPrice(id int) float64 {
	runtime.Gosched()
	return float64(id) * 0.5
}

func joinTwo(n int) {
	sum := 0.0
	for i := 0; i < n; i++ {
		var u user
		var price float64
		var both sync.WaitGroup
		both.Add(2)
		go func() { defer both.Done(); u = loadUser(i) }()
		go func() { defer both.Done(); price = loadPrice(i) }()
		both.Wait()
		sum += float64(u.id) + price
	}
	check(sum > 0, "join_two")
}

func produce(to chan<- int, n int) {
	for i := 0; i < n; i++ {
		to <- i
	}
	close(to)
}

func chanBuffered(n int) {
	items := make(chan int, channelItems)
	go produce(items, n)
	sum := 0
	for i := range items {
		sum += i
	}
	check(sum == n*(n-1)/2, "chan_buffered")
}

func chanUnbuffered(n int) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for i := range ping {
			pong <- i + 1
		}
	}()
	at := 0
	for i := 0; i < n; i++ {
		ping <- at
		at = <-pong
	}
	close(ping)
	check(at == n, "chan_unbuffered")
}

// A call that takes a context looks at it where it would wait.
func loadPriceWithin(ctx context.Context, id int) (float64, error) {
	runtime.Gosched()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return float64(id) * 0.5, nil
}

func within(n int) {
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		_, err := loadPriceWithin(ctx, i)
		cancel()
		check(err == nil, "within")
	}
}

// Waits for something that never comes, until it is cancelled.
func never(ctx context.Context, id int) (int, error) {
	<-ctx.Done()
	return id, ctx.Err()
}

// Sleeps an hour, or until it is cancelled.
func sleepHour(ctx context.Context, id int) (int, error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	select {
	case <-timer.C:
		return id, nil
	case <-ctx.Done():
		return id, ctx.Err()
	}
}

func raceThreeOf(n int, loser func(context.Context, int) (int, error)) {
	sum := 0
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		first := make(chan int, 3)
		var all sync.WaitGroup
		all.Add(3)
		lose := func() {
			defer all.Done()
			if v, err := loser(ctx, i); err == nil {
				first <- v
			}
		}
		go lose()
		go func() { defer all.Done(); first <- double(i) }()
		go lose()
		sum += <-first
		cancel()
		all.Wait()
	}
	check(sum == n*(n-1), "race_three")
}

func raceThree(n int) { raceThreeOf(n, never) }

func raceThreeSleep(n int) { raceThreeOf(n, sleepHour) }

// next collects a batch: up to batchItems, or what came within batchLinger of the first item.
func next(items <-chan int, linger *time.Timer) []int {
	first, ok := <-items
	if !ok {
		return nil
	}
	batch := make([]int, 1, batchItems)
	batch[0] = first
	linger.Reset(batchLinger)
	defer linger.Stop()
	for len(batch) < batchItems {
		select {
		case i, ok := <-items:
			if !ok {
				return batch
			}
			batch = append(batch, i)
		case <-linger.C:
			return batch
		}
	}
	return batch
}

func timedBatch(n int) {
	items := make(chan int, channelItems)
	linger := time.NewTimer(time.Hour)
	go produce(items, n)
	sum := 0
	for batch := next(items, linger); batch != nil; batch = next(items, linger) {
		for _, i := range batch {
			sum += i
		}
	}
	check(sum == n*(n-1)/2, "timed_batch")
}

const clockProcessCPUTime = 2 // CLOCK_PROCESS_CPUTIME_ID of clock_gettime(2)

func cpuNs() float64 {
	var t syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPUTime,
		uintptr(unsafe.Pointer(&t)), 0)
	check(errno == 0, "clock_gettime")
	return float64(t.Nano())
}

func main() {
	ops, only := 1000000, ""
	if len(os.Args) > 1 {
		n, err := strconv.Atoi(os.Args[1])
		if err != nil || n < 2 {
			fmt.Fprintln(os.Stderr, "usage: peer-go [OPS [WORK]], OPS at least 2")
			os.Exit(2)
		}
		ops = n
	}
	if len(os.Args) > 2 {
		only = os.Args[2]
	}
	runtime.GOMAXPROCS(1)
	for _, work := range []struct {
		name string
		do   func(int)
	}{
		{"yield", yield},
		{"start_join", startJoin},
		{"join_two", joinTwo},
		{"chan_buffered", chanBuffered},
		{"chan_unbuffered", chanUnbuffered},
		{"within", within},
		{"race_three", raceThree},
		{"race_three_sleep", raceThreeSleep},
		{"timed_batch", timedBatch},
	} {
		if only != "" && only != work.name {
			continue
		}
		work.do(ops/10 + 2)
		before := cpuNs()
		work.do(ops)
		fmt.Printf("%s\tgo\tns\tns\t%.2f\n", work.name, (cpuNs()-before)/float64(ops))
	}
}
