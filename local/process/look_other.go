//go:build unix && !linux

package process

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
)

// look returns the state of a process. A zombie counts as absent, because it does nothing any more.
func look(pid int, id string) sight {
	state, now, err := stat(pid)
	if err != nil || now != id {
		return absent
	}
	switch state {
	case 'Z':
		return absent
	case 'T':
		return frozen
	default:
		return alive
	}
}

// identity distinguishes a process from later ones with the same id by its start, to the second.
func identity(pid int) (string, error) {
	_, id, err := stat(pid)
	return id, err
}

func stat(pid int) (state byte, id string, err error) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, "", err
	}
	fields := strings.Fields(string(out))
	if len(fields) < 2 {
		return 0, "", errors.New("unexpected format of ps")
	}
	return fields[0][0], strings.Join(fields[1:], " "), nil
}
