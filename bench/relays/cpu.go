package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clockTick is USER_HZ, which Linux has at 100 per second on every architecture Go runs on.
const clockTick = time.Second / 100

// stat is the part of proc_pid_stat(5) that is read.
type stat struct {
	parent int
	spent  time.Duration // by the process, and by children of it that it has waited for
}

// spent is the processor time of a process and of all below it, so far. Of two readings
// the difference is right as long as no process outlives its parent.
func spent(root int) (time.Duration, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	all := map[int]stat{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended since
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return 0, err
		}
		if all[pid], err = parseStat(b); err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
	}
	if _, ok := all[root]; !ok {
		return 0, fmt.Errorf("process %d is not there (processor time is read from /proc, as Linux has it)", root)
	}
	var sum time.Duration
	for pid, s := range all {
		if below(all, pid, root) {
			sum += s.spent
		}
	}
	return sum, nil
}

func below(all map[int]stat, pid, root int) bool {
	for ; pid != 0; pid = all[pid].parent {
		if pid == root {
			return true
		}
	}
	return false
}

// parseStat reads the fields behind the program's name, which may have anything in it.
func parseStat(b []byte) (stat, error) {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("%d fields behind the name", len(fields))
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return stat{}, err
	}
	s := stat{parent: parent}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return stat{}, err
		}
		s.spent += time.Duration(n) * clockTick
	}
	return s, nil
}
