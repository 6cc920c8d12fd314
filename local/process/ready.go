package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// sight is the state that look returns.
type sight int

const (
	absent sight = iota
	alive
	frozen
)

// probeTimeout bounds one probe; a /readyz answers within a second.
const probeTimeout = 1500 * time.Millisecond

// ErrEnded reports that the program ended before it was ready.
var ErrEnded = errors.New("it ended")

// AwaitReady repeats the probe until it returns nil. The error has the probe's last reason and the
// end of the log. It matches [ErrEnded] if the program has ended, and ctx's error if the time is
// up.
func (r Runner) AwaitReady(ctx context.Context, name string, probe func(context.Context) error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		c, cancel := context.WithTimeout(ctx, probeTimeout)
		reason := probe(c)
		cancel()
		if reason == nil {
			return nil
		}
		s, err := r.Status(name)
		if err != nil {
			return err
		}
		if s.PID == 0 {
			return fmt.Errorf("%s is not ready: %w\n%s", name, ErrEnded, r.Tail(name))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %w\n%s", name, ctx.Err(), reason, r.Tail(name))
		}
	}
}

// tailBytes is about thirty lines.
const tailBytes = 3000

// Tail returns the end of the program's log since its last start, indented.
func (r Runner) Tail(name string) string {
	rec, err := r.read(name)
	if err != nil {
		return "  (no log)"
	}
	f, err := os.Open(rec.Log)
	if err != nil {
		return fmt.Sprintf("  (no log: %v)", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Sprintf("  (no log: %v)", err)
	}
	from, cut := rec.LogFrom, ""
	if info.Size()-from > tailBytes {
		from, cut = info.Size()-tailBytes, "…"
	}
	b, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return fmt.Sprintf("  (no log: %v)", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return fmt.Sprintf("  (it logged nothing to %s)", rec.Log)
	}
	return fmt.Sprintf("  %s ends with:\n  | %s%s", rec.Log, cut, strings.ReplaceAll(text, "\n", "\n  | "))
}

// HTTPReady returns a probe of a program's /readyz: ready on 200. The reason lists the failed
// checks.
func HTTPReady(base string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
		if err != nil {
			return err
		}
		// Not the default client: a kept connection to a killed process would fail once after its
		// restart.
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			var inner interface{ Unwrap() error }
			if errors.As(err, &inner) {
				err = inner.Unwrap() // without the method and URL, which the caller knows
			}
			return err
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
		var report struct {
			Checks map[string]string `json:"checks"`
		}
		json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&report) //nolint:errcheck // then the status has to do
		var failed []string
		for _, check := range slices.Sorted(maps.Keys(report.Checks)) {
			if reason := report.Checks[check]; reason != "ok" {
				failed = append(failed, check+": "+reason)
			}
		}
		if len(failed) == 0 {
			return fmt.Errorf("/readyz says %s", res.Status)
		}
		return errors.New(strings.Join(failed, "; "))
	}
}

// HTTPAnswers returns a probe of a URL: ready if it answers with 200.
func HTTPAnswers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // as in HTTPReady
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("it says %s", res.Status)
		}
		return nil
	}
}

// Ended reports whether no live process has the id: there is none, or only a zombie.
func Ended(pid int) bool {
	state, _, err := stat(pid)
	return err != nil || state == 'Z' || state == 'X' || state == 'x'
}
