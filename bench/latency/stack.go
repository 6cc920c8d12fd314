package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// services are the processes whose memory is measured.
func services() []string { return []string{"order", "payment", "inventory", "shipping", "projection"} }

// stack is what `shop up` leaves in its state folder about a running stack.
type stack struct {
	URLs  map[string]string `json:"urls"`
	Kafka []string          `json:"kafka"`
	pids  map[string]int    // by service
}

// open reads the state folder. It does not start anything.
func open(dir string) (stack, error) {
	var s stack
	if err := readJSON(filepath.Join(dir, "state.json"), &s); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return s, fmt.Errorf("no stack in %s; start one with `shop up --detach`: %w", dir, err)
		}
		return s, err
	}
	s.pids = map[string]int{}
	for _, name := range services() {
		var p struct {
			PID int `json:"pid"`
		}
		if err := readJSON(filepath.Join(dir, "run", name+".pid"), &p); err != nil {
			return s, fmt.Errorf("find the process of service %s, is the stack up? %w", name, err)
		}
		s.pids[name] = p.PID
	}
	return s, nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
