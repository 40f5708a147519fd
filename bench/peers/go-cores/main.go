// SPDX-License-Identifier: MIT

// peer-go-cores [OPS] - the works of `script/bench cores` on goroutines, with two processors.
//
// Prints work, who, metric, unit and value: the CPU time of the whole process per operation,
// and operations a second. bench/peers/README.md says what each work is.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

const places, atOnce = 128, 64

func crossItem(n int) {
	ch := make(chan int, places)
	sum := make(chan int)
	go func() {
		s := 0
		for x := range ch {
			s += x
		}
		sum <- s
	}()
	for i := 0; i < n; i++ {
		ch <- i
	}
	close(ch)
	if <-sum != n*(n-1)/2 {
		panic("wrong sum")
	}
}

func crossBatch(n int) {
	ch := make(chan [atOnce]int, places/atOnce)
	sum := make(chan int)
	go func() {
		s := 0
		for batch := range ch {
			for _, x := range batch {
				s += x
			}
		}
		sum <- s
	}()
	for i := 0; i < n; i += atOnce {
		var batch [atOnce]int
		for j := range batch {
			batch[j] = i + j
		}
		ch <- batch
	}
	close(ch)
	<-sum
}

func roundTrip(n int) {
	to, from := make(chan int, 1), make(chan int, 1)
	go func() {
		for x := range to {
			from <- x
		}
	}()
	for i := 0; i < n; i++ {
		to <- i
		<-from
	}
	close(to)
}

func startJoin(n int) {
	sum := 0
	for i := 0; i < n; i++ {
		done := make(chan int, 1)
		go func() { done <- 2 * i }()
		sum += <-done
	}
	if sum != n*(n-1) {
		panic("wrong sum")
	}
}

const clockProcessCPUTime = 2 // CLOCK_PROCESS_CPUTIME_ID of clock_gettime(2)

func cpuNs() float64 {
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPUTime, uintptr(unsafe.Pointer(&t)), 0)
	return float64(t.Nano())
}

func main() {
	ops := 1000000
	if len(os.Args) > 1 {
		ops, _ = strconv.Atoi(os.Args[1])
	}
	runtime.GOMAXPROCS(2)
	for _, work := range []struct {
		name  string
		do    func(int)
		count int
	}{
		{"cross_item", crossItem, ops},
		{"cross_batch_of_64", crossBatch, ops},
		{"cross_round_trip", roundTrip, ops / 10},
		{"cross_start_join", startJoin, ops / 10},
	} {
		work.do(work.count/10 + 2)
		cpu, wall := cpuNs(), time.Now()
		work.do(work.count)
		took := time.Since(wall)
		fmt.Printf("%s\tgo\tns\tCPU ns\t%.1f\n", work.name, (cpuNs()-cpu)/float64(work.count))
		fmt.Printf("%s\tgo\trate\t1/s\t%.0f\n", work.name, float64(work.count)/took.Seconds())
	}
}
