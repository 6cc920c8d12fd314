package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"eventshop.example/local/stack"
	"eventshop.example/ops/operators"
)

// healthWithin keeps `shop status` fast when a process is frozen.
const healthWithin = 2 * time.Second

// health prints the second part of `shop status`, if any service runs.
func (e *env) health(ctx context.Context, s *stack.Stack) error {
	running, err := s.Running()
	if err != nil {
		return err
	}
	urls := s.File().Operators
	for name := range urls {
		if running[name] != 0 {
			return printHealth(ctx, e.out, operators.NewFleet(urls, ""), time.Now())
		}
	}
	return nil
}

// printHealth prints a line per service: what waits for operators, and which breakers refuse calls.
// A service that does not answer shows as "?".
func printHealth(ctx context.Context, out io.Writer, f *operators.Fleet, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	type health struct {
		stats    operators.Stats
		breakers []operators.Breaker
	}
	// Every process is asked, so that a frozen one does not use up the time of its replicas.
	answers := operators.AskEach(ctx, f.Groups, func(ctx context.Context, c *operators.Client) (h health, err error) {
		if h.stats, err = c.Stats(ctx); err == nil {
			h.breakers, err = c.Breakers(ctx)
		}
		return h, err
	})
	byProcess := map[string]operators.Answer[health]{}
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

func letterText(s operators.Stats, now time.Time) (letters, parked string) {
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
	if s.OverdueRetries > 0 {
		parts = append(parts, fmt.Sprintf("%d overdue", s.OverdueRetries))
	}
	if len(parts) > 0 {
		parked = strings.Join(parts, ", ")
	}
	return letters, parked
}

// breakerTexts names the breakers of a process.
func breakerTexts(whose string, breakers []operators.Breaker) []string {
	var texts []string
	for _, b := range breakers {
		text := whose + line(b.Name, 40) + " " + line(string(b.State), 20)
		if !b.Closed() && b.RetryAfterMs > 0 {
			text += ", probe in " + span(time.Duration(b.RetryAfterMs)*time.Millisecond)
		}
		texts = append(texts, text)
	}
	return texts
}
