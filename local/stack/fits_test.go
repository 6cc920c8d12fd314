package stack_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/local/stack"
)

func setting(process, name, value string) map[string]map[string]string {
	return map[string]map[string]string{process: {name: value}}
}

// Up refuses options that it cannot apply to a running shop, and stores none of them.
func TestUpBesideARunningShopDropsNothing(t *testing.T) {
	t.Parallel()
	s, _ := newStack(t)
	up(t, s, stack.Options{Env: setting("payment", "LOG_LEVEL", "debug")})
	order := s.File().Ports["order"]
	before, err := os.ReadFile(filepath.Join(s.State, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, o stack.Options, want ...string) {
		t.Helper()
		one, _ := open(t, s.State)
		o.SkipBuild, o.AutoPorts = true, true
		err := one.Up(t.Context(), o)
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q in it", what, err, text)
			}
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s shows a secret: %v", what, err)
		}
		if after, err := os.ReadFile(filepath.Join(s.State, "state.json")); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the state is another, %v", what, err)
		}
	}
	refuse("another value", stack.Options{Env: setting("payment", "LOG_LEVEL", "info")}, "payment.LOG_LEVEL=info", "shop down")
	refuse("a new setting", stack.Options{Env: setting("order", "GATEWAY_TOKEN", "s3cret")}, "order.GATEWAY_TOKEN=(hidden)", "shop down")
	refuse("an empty one", stack.Options{Env: setting("order", "LOG_LEVEL", "")}, "order.LOG_LEVEL=", "shop down")
	refuse("a port", stack.Options{Ports: map[string]int{"order": order + 1}}, "order", "shop down")
	refuse("an operators' port", stack.Options{Ports: map[string]int{"order-operator": order}}, "order-operator", "shop down")
	refuse("an unknown process's setting", stack.Options{Env: setting("nope", "X", "1")}, `"nope"`)
	refuse("an unknown process's port", stack.Options{Ports: map[string]int{"nope": 99}}, `"nope"`)
	refuse("another PostgreSQL", stack.Options{Postgres: "postgres://me:s3cret@db.example/x"}, "db.example", "shop down")
	refuse("another broker", stack.Options{Kafka: stack.Apache}, "apache", "shop down")
	refuse("another registry", stack.Options{Registry: "http://registry.example"}, "registry.example", "shop down")
	refuse("containers", stack.Options{Compose: true}, "programs")
	refuse("images", stack.Options{Images: true}, "programs")
	refuse("several", stack.Options{Env: setting("order", "A", "1"), Ports: map[string]int{"payment": order + 1}}, "order.A=1", "payment")

	same, out := open(t, s.State)
	up(t, same, stack.Options{Env: setting("payment", "LOG_LEVEL", "debug"), Ports: map[string]int{"order": order}, Postgres: "auto", Kafka: stack.Embedded})
	if !strings.Contains(out.String(), "up already") {
		t.Errorf("up with what the shop has says:\n%s", out)
	}

	// In a partly running shop, processes that do not run accept new options.
	if err := s.Kill(t.Context(), stack.Carrier); err != nil {
		t.Fatal(err)
	}
	refuse("a setting of one that runs", stack.Options{Env: setting("payment", "X", "1")}, "payment.X=1", "shop down")
	refuse("PostgreSQL that runs", stack.Options{Postgres: "/elsewhere"}, "/elsewhere", "shop down")
	again, _ := open(t, s.State)
	up(t, again, stack.Options{Env: setting(stack.Carrier, "DISPATCH_AFTER", "1s")})
	if env := envOf(t, again, stack.Carrier); env["DISPATCH_AFTER"] != "1s" {
		t.Errorf("carrier has DISPATCH_AFTER=%q", env["DISPATCH_AFTER"])
	}
}
