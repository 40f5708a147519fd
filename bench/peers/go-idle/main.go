// SPDX-License-Identifier: MIT

// peer-go-idle TASKS wait|sleep - the work of `script/bench idle` on goroutines, with one
// processor.
//
// Prints work, who, metric, unit and value: what /proc/self/status says of the process, less
// what it was before the first goroutine, and CPU time, each divided by the goroutines.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

type memory struct{ resident, tables float64 }

func memoryNow() (now memory) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			now.resident = kib * 1024
		case "VmPTE:":
			now.tables = kib * 1024
		}
	}
	return now
}

const clockProcessCPUTime = 2 // CLOCK_PROCESS_CPUTIME_ID of clock_gettime(2)

func cpuNs() float64 {
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPUTime, uintptr(unsafe.Pointer(&t)), 0)
	return float64(t.Nano())
}

func main() {
	tasks, _ := strconv.Atoi(os.Args[1])
	work := "idle_" + os.Args[2]
	runtime.GOMAXPROCS(1)
	begun := make(chan struct{})
	var ended sync.WaitGroup
	arrived := 0
	wait := func() {
		arrived++
		<-begun
		ended.Done()
	}
	if work == "idle_sleep" {
		// A sleep that can be called off.
		wait = func() {
			arrived++
			timer := time.NewTimer(time.Hour)
			select {
			case <-timer.C:
			case <-begun:
			}
			timer.Stop()
			ended.Done()
		}
	}
	runtime.GC()
	before := memoryNow()
	from := cpuNs()
	ended.Add(tasks)
	for i := 0; i < tasks; i++ {
		go wait()
	}
	for arrived < tasks {
		runtime.Gosched()
	}
	started := cpuNs() - from
	now := memoryNow()
	from = cpuNs()
	close(begun)
	ended.Wait()
	stopped := cpuNs() - from
	n := float64(tasks)
	tables := now.tables - before.tables
	fmt.Printf("%s\tgo\tbytes\tbytes a task, resident and page tables\t%.1f\n", work,
		(now.resident-before.resident+tables)/n)
	fmt.Printf("%s\tgo\tbytes\tof them page tables\t%.1f\n", work, tables/n)
	fmt.Printf("%s\tgo\tns\tCPU ns to start one\t%.1f\n", work, started/n)
	fmt.Printf("%s\tgo\tns\tCPU ns to end one\t%.1f\n", work, stopped/n)
}
