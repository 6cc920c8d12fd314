package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"eventshop.example/local/lockfile"
)

// claims is the user's book of drawn ports: which stack each was given to. That nobody
// listens on a port is not enough to draw it. Between a draw and the start of its process,
// and while a process is down, it is free to the kernel and another stack would take it.
type claims struct {
	file  *os.File
	owner map[int]string // the state folder of the stack that has the port
}

// openClaims opens the book for this process alone until close. A claim ends with the
// state folder of its stack.
func openClaims() (*claims, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("eventshop-ports-%d.json", os.Getuid()))
	// Held for as long as it takes to draw a few ports; no need to give up waiting.
	f, err := lockfile.Open(path, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim ports: %w", err)
	}
	c := &claims{file: f, owner: map[int]string{}}
	// A book that cannot be read, after a full disk for example, is begun again.
	if err := json.NewDecoder(f).Decode(&c.owner); err != nil || c.owner == nil {
		c.owner = map[int]string{}
	}
	for port, dir := range c.owner {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			delete(c.owner, port)
		}
	}
	return c, nil
}

// close writes the book and lets others have it.
func (c *claims) close() error {
	defer c.file.Close() // and with it the lock
	b, err := json.Marshal(c.owner)
	if err == nil {
		err = c.file.Truncate(0)
	}
	if err == nil {
		_, err = c.file.WriteAt(b, 0)
	}
	if err != nil {
		return fmt.Errorf("claim ports: %w", err)
	}
	return nil
}

// freed gives up the ports of a stack that is no more.
func freed(dir string) error {
	c, err := openClaims()
	if err != nil {
		return err
	}
	for port, owner := range c.owner {
		if owner == dir {
			delete(c.owner, port)
		}
	}
	return c.close()
}
