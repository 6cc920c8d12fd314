package service

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func lookup(vars map[string]string) Lookup {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestEnv(t *testing.T) {
	env := NewEnv(lookup(map[string]string{
		"ADDR": " :8081 ", "BROKERS": "a:1, b:2", "N": "7", "D": "250ms", "B": "true", "L": "debug", "EMPTY": "",
	}))
	got := []any{
		env.Required("ADDR"), env.List("BROKERS"), env.Int("N", 1, 0, 10), env.Int("EMPTY", 3, 0, 10),
		env.Duration("D", time.Second), env.Duration("X", time.Second), env.Bool("B", false), env.Bool("X", true),
		env.Level("L", slog.LevelInfo), env.String("X", "def"), env.String("ADDR", "def"),
	}
	want := []any{
		":8081", []string{"a:1", "b:2"}, 7, 3, 250 * time.Millisecond, time.Second, true, true, slog.LevelDebug, "def", ":8081",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := env.Err(); err != nil {
		t.Error(err)
	}
}

func TestEnvNamesEveryMistake(t *testing.T) {
	env := NewEnv(lookup(map[string]string{
		"BROKERS": "a:1,,b:2", "N": "11", "M": "x", "D": "5", "NEG": "-1s", "B": "maybe", "L": "loud", "EMPTY": " ",
	}))
	env.Required("ADDR")
	env.Required("EMPTY")
	env.List("BROKERS")
	env.List("TOPICS")
	env.Int("N", 1, 0, 10)
	env.Int("M", 1, 0, 10)
	env.Duration("D", time.Second)
	env.Duration("NEG", time.Second)
	env.Bool("B", false)
	env.Level("L", slog.LevelInfo)
	want := `environment variable ADDR is required
environment variable EMPTY is required
environment variable BROKERS has an empty element
environment variable TOPICS is required
environment variable N must be an integer from 0 to 10, not "11"
environment variable M must be an integer from 0 to 10, not "x"
environment variable D must be a positive duration like "5m" or "250ms", not "5"
environment variable NEG must be a positive duration like "5m" or "250ms", not "-1s"
environment variable B must be "true" or "false", not "maybe"
environment variable L must be "debug", "info", "warn" or "error", not "loud"`
	if diff := cmp.Diff(want, env.Err().Error()); diff != "" {
		t.Error(diff)
	}
}

func TestExitCodes(t *testing.T) {
	old := slog.Default()
	t.Cleanup(func() { slog.SetDefault(old) })
	configure := func(l Lookup) (string, error) {
		env := NewEnv(l)
		return env.Required("ADDR"), env.Err()
	}
	tests := map[string]struct {
		vars map[string]string
		run  func(context.Context, string) error
		code int
		log  string
	}{
		"clean": {map[string]string{"ADDR": ":1"}, func(_ context.Context, addr string) error {
			slog.Info("running", "addr", addr)
			return nil
		}, 0, `"service":"lockers","addr":":1"`},
		"failed":        {map[string]string{"ADDR": ":1"}, func(context.Context, string) error { return errors.New("boom") }, 1, "boom"},
		"panic":         {map[string]string{"ADDR": ":1"}, func(context.Context, string) error { panic("boom") }, 1, "main_test.go"},
		"configuration": {nil, func(context.Context, string) error { return nil }, 2, "environment variable ADDR is required"},
		"log level":     {map[string]string{"ADDR": ":1", "LOG_LEVEL": "loud"}, func(context.Context, string) error { return nil }, 2, "LOG_LEVEL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code := start(t.Context(), &out, "lockers", "parcelId", lookup(tt.vars), configure, tt.run)
			if code != tt.code || !strings.Contains(out.String(), tt.log) {
				t.Errorf("exit %d, want %d, log: %s", code, tt.code, out.String())
			}
		})
	}
}
