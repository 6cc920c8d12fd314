package stack_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eventshop.example/local/process"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

// TestUpWithAGivenRegistry: Up passes its URL to the services and starts no registry. It refuses
// one that does not answer, and does not store it.
func TestUpWithAGivenRegistry(t *testing.T) {
	t.Parallel()
	given := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error_code":40101,"message":"who are you?"}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error_code":40401,"message":"Subject not found."}`)
	}))
	t.Cleanup(given.Close)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()

	s, _ := newStack(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, source := range map[string]string{
		"away": away.URL, "another server": web.URL, "not admitted": given.URL,
		"a wrong password": strings.Replace(given.URL, "http://", "http://ada:guessed@", 1),
	} {
		err := s.Up(ctx, stack.Options{SkipBuild: true, AutoPorts: true, Registry: stack.RegistrySource(source)})
		if err == nil || !strings.Contains(err.Error(), "schema registry") || strings.Contains(err.Error(), "guessed") {
			t.Errorf("%s: %v", name, err)
		}
		if again, _ := open(t, s.State); again.Known() {
			t.Fatalf("%s: the shop stays with it", name)
		}
	}
	kafka, err := stack.ParseKafkaSource(strings.TrimPrefix(away.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Up(ctx, stack.Options{SkipBuild: true, AutoPorts: true, Kafka: kafka}); err == nil || !strings.Contains(err.Error(), "the given Kafka at "+string(kafka)) {
		t.Errorf("Kafka that is away: %v", err)
	}
	if s, _ = open(t, s.State); s.Known() {
		t.Fatal("the shop stays with Kafka that is away")
	}
	up(t, s, stack.Options{Registry: stack.RegistrySource(strings.Replace(given.URL, "http://", "http://ada:secret@", 1))})
	pids := wantStates(t, s, process.Running, map[string]process.State{stack.Registry: process.Stopped})
	if pids[stack.Registry] != 0 || s.Ready(ctx, stack.Registry) != nil {
		t.Errorf("registry: process %d, %v", pids[stack.Registry], s.Ready(ctx, stack.Registry))
	}
	for _, name := range eventshop.Services() {
		env := envOf(t, s, name)
		if env["SCHEMA_REGISTRY_URL"] != given.URL || env["SCHEMA_REGISTRY_USERNAME"] != "ada" {
			t.Errorf("%s is told of %s, user %s", name, env["SCHEMA_REGISTRY_URL"], env["SCHEMA_REGISTRY_USERNAME"])
		}
	}
	again, out := open(t, s.State)
	up(t, again, stack.Options{})
	if !strings.Contains(out.String(), "up already") {
		t.Errorf("it says:\n%s", out)
	}
	if err := s.Down(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Wipe(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.State, stack.Registry, "password")); err == nil {
		t.Error("the password is still there")
	}
}
