package stack

import (
	"context"
	"crypto/rand"
	"time"
)

// Fate is the present state of the shop that an [Stack.Up] opened.
type Fate int

const (
	StillOwn   Fate = iota // it exists, and its opener has to stop it
	TakenDown              // another command has taken it down
	OpenedAnew             // another command has taken it down, and opened the next
)

// lookEvery is how often [Stack.AwaitEnd] checks. It bounds how long a command stays in its
// terminal without anything left to wait for.
const lookEvery = time.Second

// begin names a shop of which nothing runs, for the time until it is down. By this name, the
// command that opened the shop recognises whether a later running shop is still the same.
func (s *Stack) begin() { s.file.Life = rand.Text() }

// Opened reports whether the last [Stack.Up] found nothing running. If so, its caller has to stop
// the stack. Otherwise another command opened the stack.
func (s *Stack) Opened() bool { return s.opened != "" }

// Fate returns the present state of the shop that the last Up opened.
func (s *Stack) Fate() (Fate, error) {
	now, err := s.read()
	return s.fateIn(now), err
}

func (s *Stack) fateIn(now File) Fate {
	switch now.Life {
	case "":
		return TakenDown
	case s.opened:
		return StillOwn
	}
	return OpenedAnew
}

// AwaitEnd waits until the shop that the last Up opened no longer belongs to the caller, or until
// ctx ends; then it returns [StillOwn].
func (s *Stack) AwaitEnd(ctx context.Context) (Fate, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if fate, err := s.Fate(); err != nil || fate != StillOwn {
			return fate, err
		}
		select {
		case <-ctx.Done():
			return StillOwn, nil
		case <-tick.C:
		}
	}
}

// DownOwn is [Stack.Down] for the shop that the last Up opened. It does not stop another shop. It
// returns what it found.
func (s *Stack) DownOwn(ctx context.Context) (Fate, error) {
	if fate, err := s.Fate(); err != nil || fate != StillOwn {
		return fate, err
	}
	release, err := s.exclusive(ctx)
	if err != nil {
		return StillOwn, err
	}
	defer release()
	if fate := s.fateIn(s.file); fate != StillOwn {
		return fate, nil
	}
	return StillOwn, s.end(ctx)
}

// end stops everything. If the stop fails, the shop keeps its name and its opener.
func (s *Stack) end(ctx context.Context) error {
	if err := s.stopAll(ctx, nil); err != nil || s.file.Life == "" {
		return err
	}
	s.file.Life = ""
	return s.save()
}
