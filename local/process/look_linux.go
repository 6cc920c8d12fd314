package process

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// look returns the state of a process. A zombie counts as absent, because it does nothing any more.
func look(pid int, id string) sight {
	state, now, err := stat(pid)
	if err != nil || now != id {
		return absent
	}
	switch state {
	case 'Z', 'X', 'x':
		if len(threads(pid)) > 1 {
			// The first thread of a killed process is a zombie while other threads still end. Until
			// the last one has ended, the process's files are open and its locks are taken.
			return alive
		}
		return absent
	case 'T', 't':
		// SIGSTOP reaches the threads one after the other.
		for _, thread := range threads(pid) {
			state, err := stateOf(fmt.Sprintf("/proc/%d/task/%s/stat", pid, thread.Name()))
			if err == nil && !strings.ContainsRune("TtZX", rune(state)) {
				return alive
			}
		}
		return frozen
	default:
		return alive
	}
}

// threads lists the remaining threads of a process.
func threads(pid int) []os.DirEntry {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil // the process is gone
	}
	return tasks
}

// identity distinguishes a process from later ones with the same id, by the boot and by the clock
// ticks from the boot to the start of the process (field 22 of proc(5)'s stat).
func identity(pid int) (string, error) {
	_, id, err := stat(pid)
	return id, err
}

func stat(pid int) (state byte, id string, err error) {
	fields, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0, "", err
	}
	return fields[stateField][0], strings.TrimSpace(string(boot)) + "/" + fields[startField], nil
}

const stateField, startField = 0, 22 - 3 // of proc(5)'s fields, without the first two

// statFields reads the fields of a process or thread from the third on.
func statFields(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// The name in field 2 may contain any characters, including parentheses and blanks.
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	if end < 0 || len(fields) <= startField {
		return nil, fmt.Errorf("unexpected format of %s", path)
	}
	return fields, nil
}

func stateOf(path string) (byte, error) {
	fields, err := statFields(path)
	if err != nil {
		return 0, err
	}
	return fields[stateField][0], nil
}
