// Package telemetrytest is for tests only. It captures a service's log and checks the rules that
// operators depend on: every line names the service; a line about an aggregate has its id as
// the attribute of the subject; INFO has at most one line per aggregate.
package telemetrytest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"eventshop.example/pkg/telemetry"
)

// Log captures one service's log, from DEBUG on. It is safe for concurrent use.
type Log struct {
	Subject string // the log's name for [telemetry.KeySubject], as of [telemetry.NewLogger]

	mu   sync.Mutex
	text bytes.Buffer
}

// Logger returns a logger of the service that writes to the log.
func (l *Log) Logger(service string) *slog.Logger {
	return telemetry.NewLogger(l, service, l.Subject, slog.LevelDebug)
}

// Write appends a line.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Line is one line of the log.
type Line map[string]any

// Await returns when the log has a line of the level about an aggregate, with the given message. A
// line that follows a commit is written a moment after the commit can be seen.
func (l *Log) Await(t testing.TB, id, level, msg string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for {
		for _, line := range l.About(t, id, level) {
			if line["msg"] == msg {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no line %q about %s: %v", msg, id, l.About(t, id, level))
		}
	}
}

// About returns the lines of a level about an aggregate, in their order. It fails the test for a line
// of any level that breaks a rule.
func (l *Log) About(t testing.TB, id, level string) []Line {
	t.Helper()
	key := cmp.Or(l.Subject, telemetry.KeySubject)
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []Line
	for text := range strings.Lines(l.text.String()) {
		var line Line
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if line["service"] == nil {
			t.Errorf("a line without service: %s", text)
		}
		if strings.Contains(text, id) && line[key] != id {
			t.Errorf("a line about %s without it in %s: %s", id, key, text)
		}
		if line[key] == id && line["level"] == level {
			lines = append(lines, line)
		}
	}
	return lines
}

// OneLine fails the test unless INFO has one line about the aggregate, with the given attributes and a
// correlation id.
func (l *Log) OneLine(t testing.TB, id string, want Line) {
	t.Helper()
	lines := l.About(t, id, "INFO")
	if len(lines) != 1 {
		t.Errorf("%d lines at INFO about %s, want 1: %v", len(lines), id, lines)
		return
	}
	if lines[0][telemetry.KeyCorrelation] == nil {
		t.Errorf("no %s: %v", telemetry.KeyCorrelation, lines[0])
	}
	for name, value := range want {
		if lines[0][name] != value {
			t.Errorf("%s is %v, want %v: %v", name, lines[0][name], value, lines[0])
		}
	}
}
