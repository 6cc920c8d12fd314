package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"eventshop.example/local/lockfile"
)

// claims records for the user which stack has which drawn port. A port without a listener may still
// be in use: between a draw and the start of its process, and while a process is down, the kernel
// considers it free, and another stack would take it.
type claims struct {
	file  *os.File
	owner map[int]string // the state folder of the stack that has the port
}

// openClaims opens the record for this process only, until close. A claim ends when the state
// folder of its stack is deleted.
func openClaims() (*claims, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("eventshop-ports-%d.json", os.Getuid()))
	// The lock lasts only for drawing a few ports, so the wait needs no limit.
	f, err := lockfile.Open(path, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim ports: %w", err)
	}
	c := &claims{file: f, owner: map[int]string{}}
	// A record that cannot be read, for example after a full disk, is replaced by an empty one.
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

// close writes the record and releases it for other processes.
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

// freed releases the ports of a deleted stack.
func freed(dir string) error {
	return unclaim(func(_ int, owner string) bool { return owner == dir })
}

// giveUpPorts releases the stack's drawn ports that are not in state.json: those of removed
// replicas, of settings that were reset, and of an Up that failed.
func (s *Stack) giveUpPorts() error {
	f, err := s.read()
	if err != nil {
		return err
	}
	has := map[int]bool{}
	for _, port := range f.Ports {
		has[port] = true
	}
	return unclaim(func(port int, owner string) bool { return owner == s.State && !has[port] })
}

// unclaim releases the ports for which the condition holds.
func unclaim(which func(port int, owner string) bool) error {
	c, err := openClaims()
	if err != nil {
		return err
	}
	maps.DeleteFunc(c.owner, which)
	return c.close()
}
