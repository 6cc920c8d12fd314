package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// look tells what became of a process. One that ended but was not waited for
// counts as absent: it does nothing any more.
func look(pid int, id string) sight {
	state, now, err := stat(pid)
	if err != nil || now != id {
		return absent
	}
	switch state {
	case 'Z', 'X', 'x':
		if len(threads(pid)) > 1 {
			// The first thread of a killed process is a zombie while others still end;
			// until the last one has, its files are open and its locks are held.
			return alive
		}
		return absent
	case 'T', 't':
		return frozen
	default:
		return alive
	}
}

// threads lists the threads that are left of a process.
func threads(pid int) []os.DirEntry {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil // gone altogether
	}
	return tasks
}

// identity tells a process from later ones with the same id: the boot, and the
// clock ticks from it to the start of the process (field 22 of proc(5)'s stat).
func identity(pid int) (string, error) {
	_, id, err := stat(pid)
	return id, err
}

func stat(pid int) (state byte, id string, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	// The name in field 2 may hold anything, parentheses and blanks included.
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	const stateField, startField = 0, 22 - 3 // what follows the name begins with field 3
	if end < 0 || len(fields) <= startField {
		return 0, "", errors.New("unexpected format of /proc/PID/stat")
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0, "", err
	}
	return fields[stateField][0], strings.TrimSpace(string(boot)) + "/" + fields[startField], nil
}
