package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"eventshop.example/local/stack"
)

// seen is the stack that a command is about. A command looks for it once, because asking docker
// compose takes time and prints a message.
type seen struct {
	found *stack.Stack
	lives bool // something of it was running
}

// find returns the stack that a command is about. It may never have been up.
func (e *env) find() (*stack.Stack, error) {
	if e.seen.found != nil {
		return e.seen.found, nil
	}
	s, err := e.look()
	if err == nil {
		e.seen.found = s
	}
	return s, err
}

// look opens the stack that a command is about: that of the state folder or, if nothing of that
// runs and no folder is named, the one that `docker compose up` runs.
func (e *env) look() (*stack.Stack, error) {
	s, err := e.open()
	if err != nil || e.state != "" {
		return s, err
	}
	if s.Known() {
		running, err := s.Running()
		if err != nil || len(running) > 0 {
			return s, err
		}
	}
	ctx := context.Background() // both end by themselves after some seconds
	found := stack.FindCompose(ctx, s.Root)
	if found == nil {
		return s, nil
	}
	composed, err := stack.OpenCompose(ctx, found, s.Root, s.Self, e.out)
	if err != nil {
		return nil, fmt.Errorf("look at the shop that docker compose runs: %w", err)
	}
	showWaiting(composed)
	fmt.Fprintf(e.errOut, "(the shop that docker compose runs as project %s; --state %s is another)\n", found.Name, s.State)
	return composed, nil
}

// known returns a stack that has been up.
func (e *env) known() (*stack.Stack, error) {
	s, err := e.find()
	if err != nil {
		return nil, err
	}
	if !s.Known() {
		return nil, fmt.Errorf("there is no shop in %s, and docker compose runs none; `shop up` starts one, --state DIR names another folder", s.State)
	}
	return s, nil
}

// live opens a running stack, for commands that ask its processes. The error names the stack and
// the command to type.
func (e *env) live() (*stack.Stack, error) {
	s, err := e.known()
	if err != nil {
		return nil, err
	}
	if e.seen.lives {
		return s, nil
	}
	running, err := s.Running()
	if err != nil {
		return nil, err
	}
	// A state without ports describes a shop whose processes this command does not run.
	if len(running) > 0 || len(s.File().Ports) == 0 {
		e.seen.lives = true
		return s, nil
	}
	what := fmt.Sprintf("the shop in %s (%s) is down; `shop up --detach` starts it", s.State, kindOf(s.File()))
	if answering(s.File()) {
		what += ", and what listens on its ports is another: a shop of another folder or checkout (--state DIR, --repo DIR)"
	}
	return nil, errors.New(what)
}

// kindOf describes the processes of a stack.
func kindOf(f stack.File) string {
	switch {
	case f.Compose:
		return "containers"
	case f.KafkaSource == stack.Apache:
		return "programs, Apache Kafka"
	case f.KafkaSource.External():
		return "programs, Kafka at " + strings.Join(f.KafkaSource.Addresses(), ",")
	}
	return "programs, embedded broker"
}

// answering reports whether any port of the stack's processes has a listener.
func answering(f stack.File) bool {
	for _, address := range slices.Concat(slices.Collect(maps.Values(f.Operators)), slices.Collect(maps.Values(f.URL))) {
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		if c, err := net.DialTimeout("tcp", u.Host, 200*time.Millisecond); err == nil {
			c.Close()
			return true
		}
	}
	return false
}
