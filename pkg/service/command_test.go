package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"eventshop.example/pkg/telemetry"
)

func TestCommands(t *testing.T) {
	commands := []Command{
		{Name: "works", Run: func(_ context.Context, env *Env, out io.Writer) error {
			fmt.Fprintln(out, "done for", env.Required("WHO"))
			return nil
		}},
		{Name: "fails", Run: func(context.Context, *Env, io.Writer) error { return errors.New("no luck") }},
		{Name: "panics", Run: func(context.Context, *Env, io.Writer) error { panic("ouch") }},
	}
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		code int
		says string
	}{
		"works":          {[]string{"works"}, map[string]string{"WHO": "me"}, 0, "done for me"},
		"environment":    {[]string{"works"}, nil, 2, "environment variable WHO is required"},
		"fails":          {[]string{"fails"}, nil, 1, "order fails: no luck"},
		"panics":         {[]string{"panics"}, nil, 1, "ouch"},
		"unknown":        {[]string{"-v"}, nil, 2, "works, fails, panics"},
		"too many words": {[]string{"works", "now"}, nil, 2, "unknown arguments"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code := command(t.Context(), &out, "order", lookup(tt.env), tt.args, commands)
			if code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit %d, want %d: %s", code, tt.code, out.String())
			}
		})
	}
}

func TestHealthcheck(t *testing.T) {
	var health Health
	var trouble error
	health.Add("broker", func(context.Context) error { return trouble })
	health.Add("database", func(context.Context) error { return nil })
	server := httptest.NewServer(Operations(&health, telemetry.NewRegistry()))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	gone := httptest.NewServer(nil)
	gone.Close()

	check := func(addr string, code int, says string) {
		t.Helper()
		var out bytes.Buffer
		got := command(t.Context(), &out, "order", lookup(map[string]string{"ADDR": addr}), []string{"healthcheck"},
			[]Command{{Name: "healthcheck", Run: healthcheck}})
		if got != code || !strings.Contains(out.String(), says) {
			t.Errorf("ADDR %q: exit %d, want %d: %s", addr, got, code, out.String())
		}
	}
	for _, addr := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "127.0.0.1:" + port} {
		check(addr, 0, "ready")
	}
	trouble = errors.New("does not answer")
	check(":"+port, 1, "not ready: broker: does not answer\n")
	check(stranger.Listener.Addr().String(), 1, "404")
	check(gone.Listener.Addr().String(), 1, "refused")
	check("127.0.0.1:0", 2, "ADDR")
	check("nonsense", 2, "ADDR")
	check("", 2, "ADDR is required")
}
