package stack_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eventshop.example/local/stack"
)

func TestSettingsStayUntilTheyAreReset(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	up(t, s, stack.Options{
		Env:  map[string]map[string]string{"payment": {"LOG_LEVEL": "debug", "GATEWAY_TOKEN": "s3cret"}, "order": {"DATABASE_NOTE": "postgres://me:pass@h/x"}},
		Once: map[string]map[string]string{"payment": {"BREAKER": "2s", "LOG_LEVEL": "error"}},
	})
	if !s.Opened() {
		t.Error("nothing ran before, and Up does not say so")
	}
	if env := envOf(t, s, "payment"); env["BREAKER"] != "2s" || env["LOG_LEVEL"] != "debug" {
		t.Errorf("payment has BREAKER=%q and LOG_LEVEL=%q", env["BREAKER"], env["LOG_LEVEL"])
	}
	if err := s.Scale(t.Context(), "inventory", 2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reset(t.Context()); err == nil || !strings.Contains(err.Error(), "shop down") {
		t.Errorf("reset of a shop that is up: %v", err)
	}
	up(t, s, stack.Options{})
	if s.Opened() {
		t.Error("the shop was up, and Up says that it opened it")
	}
	if err := s.Down(t.Context()); err != nil {
		t.Fatal(err)
	}

	known := s.Settings()
	has := func(kind stack.SettingKind, name, value string) bool {
		return slices.Contains(known, stack.Setting{Kind: kind, Name: name, Value: value})
	}
	if !has(stack.EnvSetting, "payment.LOG_LEVEL", "debug") || !has(stack.EnvSetting, "payment.GATEWAY_TOKEN", "(hidden)") ||
		!has(stack.EnvSetting, "order.DATABASE_NOTE", "postgres://me:xxxxx@h/x") || !has(stack.ReplicaSetting, "inventory", "2") {
		t.Errorf("%v", known)
	}
	if slices.ContainsFunc(known, func(one stack.Setting) bool { return strings.Contains(one.Name, "BREAKER") }) {
		t.Errorf("a setting of one run is kept: %v", known)
	}
	if !slices.ContainsFunc(known, func(one stack.Setting) bool { return one.Kind == stack.PortSetting && one.Name == "order" }) {
		t.Errorf("drawn ports are not listed: %v", known)
	}

	for _, name := range []string{"payment.LOG", "ports", ""} {
		if _, err := s.Reset(t.Context(), name); err == nil || !strings.Contains(err.Error(), "shop settings") {
			t.Errorf("reset of %q: %v", name, err)
		}
	}
	for _, kinds := range [][]string{{"access"}, {"source"}, {"source", "access"}} { // kinds without settings
		if gone, err := s.Reset(t.Context(), kinds...); err != nil || len(gone) > 0 {
			t.Errorf("reset of %v: %v, %v", kinds, gone, err)
		}
	}
	gone, err := s.Reset(t.Context(), "payment.LOG_LEVEL", "access", "replicas", "payment.LOG_LEVEL")
	if err != nil || len(gone) != 2 {
		t.Errorf("reset of two: %v, %v", gone, err)
	}
	again, _ := open(t, s.State)
	up(t, again, stack.Options{})
	if env := envOf(t, again, "payment"); env["LOG_LEVEL"] != "" || env["BREAKER"] != "" || env["GATEWAY_TOKEN"] != "s3cret" {
		t.Errorf("payment has LOG_LEVEL=%q, BREAKER=%q, GATEWAY_TOKEN=%q", env["LOG_LEVEL"], env["BREAKER"], env["GATEWAY_TOKEN"])
	}
	if slices.Contains(again.Processes(), "inventory-2") {
		t.Error("inventory still has a second process")
	}
	if err := again.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := again.Settings(); len(left) > 0 {
		t.Errorf("after a reset of all: %v", left)
	}
	if port := again.File().Ports["order"]; port != stack.DefaultPorts()["order"] {
		t.Errorf("order has port %d", port)
	}
}

// Not up: another broker or containers would need programs that not every machine has.
func TestResetLeavesWhatTheDataIsMadeWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := `{"ports": {"order": 8081}, "env": {}, "postgresSource": "auto", "kafkaSource": "apache", "capture": true}`
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, dir)
	want := []stack.Setting{{Kind: stack.SourceSetting, Name: "kafka", Value: "apache"}, {Kind: stack.SourceSetting, Name: "cdc", Value: "yes"}}
	if got := s.Settings(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, name := range []string{"kafka", "source"} {
		if _, err := s.Reset(t.Context(), name); err == nil || !strings.Contains(err.Error(), "shop wipe") {
			t.Errorf("reset of %s: %v", name, err)
		}
	}
	if gone, err := s.Reset(t.Context()); err != nil || len(gone) > 0 {
		t.Errorf("reset of all: %v, %v", gone, err)
	}
}

// A kind without settings is no error, and the other kinds are reset.
func TestResetOfAKindThatHasNoSettings(t *testing.T) {
	t.Parallel()
	for _, kinds := range [][]string{{"port", "env"}, {"env", "port"}, {"replicas", "access", "env"}, {"source", "env"}} {
		dir := t.TempDir()
		state := `{"ports": {"order": 8081}, "env": {"payment": {"LOG_LEVEL": "debug"}}}`
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
		s, _ := open(t, dir)
		gone, err := s.Reset(t.Context(), kinds...)
		if err != nil || len(gone) != 1 || gone[0].Name != "payment.LOG_LEVEL" || len(s.Settings()) > 0 {
			t.Errorf("reset of %v: %v, %v; left are %v", kinds, gone, err, s.Settings())
		}
		if gone, err := s.Reset(t.Context(), kinds...); err != nil || len(gone) > 0 {
			t.Errorf("reset of %v again: %v, %v", kinds, gone, err)
		}
	}
}

// The list names an external registry and Kafka cluster and that access to them is set, without its
// parts. Access is reset only by its name or kind.
func TestSettingsListWhatWasGivenByItsAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := `{"ports": {"order": 8081}, "env": {}, "registrySource": "https://registry.example/api", "kafkaSource": "kafka.example:9092",
		"registryAccess": {"Username": "ada", "PasswordFile": "/s3cret"}, "kafkaSecurity": {"TLS": true, "Username": "ada"}}`
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(dir, stack.Registry, "password")
	if err := errors.Join(os.Mkdir(filepath.Dir(password), 0o700), os.WriteFile(password, []byte("s3cret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, dir)
	access := []stack.Setting{{Kind: stack.AccessSetting, Name: "kafka-access", Value: "(hidden)"}, {Kind: stack.AccessSetting, Name: "registry-access", Value: "(hidden)"}}
	sources := []stack.Setting{{Kind: stack.SourceSetting, Name: "kafka", Value: "kafka.example:9092"}, {Kind: stack.SourceSetting, Name: "registry", Value: "https://registry.example/api"}}
	if got := s.Settings(); !slices.Equal(got, append(access, sources...)) {
		t.Errorf("got %v", got)
	}
	if gone, err := s.Reset(t.Context()); err != nil || len(gone) > 0 {
		t.Errorf("reset of all: %v, %v", gone, err)
	}
	if _, err := s.Reset(t.Context(), "registry"); err == nil || !strings.Contains(err.Error(), "shop wipe") {
		t.Errorf("reset of the registry: %v", err)
	}
	if gone, err := s.Reset(t.Context(), "registry-access"); err != nil || !slices.Equal(gone, access[1:]) {
		t.Errorf("reset of one: %v, %v", gone, err)
	}
	if gone, err := s.Reset(t.Context(), "access"); err != nil || !slices.Equal(gone, access[:1]) {
		t.Errorf("reset of the kind: %v, %v", gone, err)
	}
	if _, err := os.Stat(password); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the password of the registry is still there: %v", err)
	}
	if again, _ := open(t, dir); !slices.Equal(again.Settings(), sources) {
		t.Errorf("left are %v", again.Settings())
	}
}
