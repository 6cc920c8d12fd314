package measure

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clockTick is USER_HZ, which is 100 per second on every Linux architecture that Go supports.
const clockTick = time.Second / 100

// stat is the used part of proc_pid_stat(5).
type stat struct {
	parent int
	spent  time.Duration // by the process, and by its children that it has waited for
}

// Spent returns the processor time so far of each process with its descendants, by the same names.
// The difference of two readings is right if no process outlives its parent. Linux only.
func Spent(processes map[string]int) (map[string]time.Duration, error) {
	all, err := table()
	if err != nil {
		return nil, err
	}
	spent := map[string]time.Duration{}
	for name, root := range processes {
		if _, ok := all[root]; !ok {
			return nil, fmt.Errorf("%s, process %d, is not there (processor time is read from /proc, as Linux has it)", name, root)
		}
		for pid, s := range all {
			if below(all, pid, root) {
				spent[name] += s.spent
			}
		}
	}
	return spent, nil
}

// table reads all processes.
func table() (map[int]stat, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended in between
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		if all[pid], err = parseStat(b); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return all, nil
}

func below(all map[int]stat, pid, root int) bool {
	for ; pid != 0; pid = all[pid].parent {
		if pid == root {
			return true
		}
	}
	return false
}

// parseStat parses the fields after the program's name, which may contain any characters.
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
