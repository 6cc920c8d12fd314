package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
	"eventshop.example/local/stack"
)

// healthWithin keeps `shop status` quick when a process is frozen.
const healthWithin = 2 * time.Second

// health is the second part of `shop status`, when any service runs.
func (e *env) health(ctx context.Context, s *stack.Stack) error {
	running, err := s.Running()
	if err != nil {
		return err
	}
	urls := s.File().Operators
	for name := range urls {
		if running[name] != 0 {
			return printHealth(ctx, e.out, ops.NewFleet(urls, ""), time.Now())
		}
	}
	return nil
}

// printHealth prints for each service what waits for people and which breakers do not let
// calls through. It is a line a service; who does not answer is shown as such.
func printHealth(ctx context.Context, out io.Writer, f *ops.Fleet, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	type health struct {
		stats    ops.Stats
		breakers []ops.Breaker
	}
	// Every process is asked, so that a frozen one does not use up the time of its replicas.
	answers := ops.AskEach(ctx, f.Groups, func(ctx context.Context, c *ops.Client) (h health, err error) {
		if h.stats, err = c.Stats(ctx); err == nil {
			h.breakers, err = c.Breakers(ctx)
		}
		return h, err
	})
	byProcess := map[string]ops.Answer[health]{}
	for _, a := range answers {
		byProcess[a.From] = a
	}
	rows := [][]string{}
	for _, g := range f.Groups {
		letters, parked := "?", "?"
		var breakers []string
		for _, p := range g.Processes {
			whose := ""
			if len(g.Processes) > 1 {
				whose = p.Name + ": "
			}
			a := byProcess[p.Name]
			if a.Err != nil {
				breakers = append(breakers, whose+"?")
				continue
			}
			if letters == "?" { // replicas share a database
				letters, parked = letterText(a.Value.stats, now)
			}
			breakers = append(breakers, breakerTexts(whose, a.Value.breakers)...)
		}
		rows = append(rows, []string{g.Name, letters, parked, cmp.Or(strings.Join(breakers, "; "), "-")})
	}
	fmt.Fprintln(out)
	return table(out, "SERVICE DEAD-LETTERS PARKED-KEYS BREAKERS", rows)
}

func letterText(s ops.Stats, now time.Time) (letters, parked string) {
	letters, parked = "-", "-"
	if s.Open > 0 {
		letters = fmt.Sprintf("%d open, oldest %s", s.Open, since(s.OldestOpen, now))
	}
	var parts []string
	if n := s.ParkedKeys.Dead; n > 0 {
		parts = append(parts, fmt.Sprintf("%d dead", n))
	}
	if n := s.ParkedKeys.Retrying; n > 0 {
		parts = append(parts, fmt.Sprintf("%d retrying", n))
	}
	if s.Overdue > 0 {
		parts = append(parts, fmt.Sprintf("%d overdue", s.Overdue))
	}
	if len(parts) > 0 {
		parked = strings.Join(parts, ", ")
	}
	return letters, parked
}

// breakerTexts names the breakers of a process.
func breakerTexts(whose string, breakers []ops.Breaker) []string {
	var texts []string
	for _, b := range breakers {
		text := whose + line(b.Name, 40) + " " + line(b.State, 20)
		if !b.Closed() && b.RetryAfterMS > 0 {
			text += ", probe in " + span(time.Duration(b.RetryAfterMS)*time.Millisecond)
		}
		texts = append(texts, text)
	}
	return texts
}
