package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"eventshop.example/local/apache"
	"eventshop.example/ops/eventshop"
)

// TestCaptureProfile switches change data capture on in a running shop. The connectors are
// registered automatically. Orders go through Debezium, also after Connect and a database were
// killed. One command switches back.
func TestCaptureProfile(t *testing.T) {
	s := up(t)
	s.await(s.order("before", "WIDGET-01"), "CONFIRMED", "SHIPPED", "DELIVERED")
	began := time.Now()
	s.compose("--profile", "cdc", "up", "--detach", "--no-build", "--quiet-pull")
	s.eventually("Debezium relays for all", func() bool { return s.relayed("debezium", true) })
	t.Logf("Debezium relays %s after docker compose --profile cdc up", time.Since(began).Round(100*time.Millisecond))
	s.await(s.order("through", "WIDGET-01"), "CONFIRMED", "SHIPPED", "DELIVERED")

	for _, target := range []string{"connect", "postgres-order", "kafka"} {
		s.crash(target)
		s.await(s.order("after-"+target, "WIDGET-01"), "CONFIRMED", "SHIPPED", "DELIVERED")
		t.Logf("%s was killed; an order went through", target)
	}
	s.eventually("somebody reads every slot again", func() bool { return s.relayed("debezium", true) })

	s.relay("use", "polling")
	if !s.relayed("polling", false) {
		t.Error("polling was asked for and does not relay")
	}
	s.await(s.order("back", "WIDGET-01"), "CONFIRMED", "SHIPPED", "DELIVERED")
	s.compose("--profile", "cdc", "up", "--detach", "--no-build") // the job again
	s.eventually("Debezium relays again", func() bool { return s.relayed("debezium", true) })
	s.await(s.order("again", "WIDGET-01"), "CONFIRMED", "SHIPPED", "DELIVERED")
	for _, key := range []string{"before", "through", "after-connect", "back"} {
		s.await(s.order(key, "WIDGET-01"), "DELIVERED") // the same key: the same order
	}
}

// relay runs `shop relay` as the profile's job does.
func (s *shop) relay(args ...string) string {
	s.t.Helper()
	all := append([]string{"compose", "-p", s.project, "-f", s.file, "--profile", "cdc", "run", "--rm", "--no-deps", "-T", "connectors", "relay"}, args...)
	cmd := exec.Command("docker", all...)
	cmd.Env = s.env
	out, err := cmd.Output() // without compose's messages about containers
	if err != nil {
		s.t.Logf("shop relay %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// relayed reports whether every service is in this mode, and its slot has a reader or not.
func (s *shop) relayed(mode string, read bool) bool {
	s.t.Helper()
	var shown struct {
		Relays []struct {
			Mode      string
			SlotState struct{ Active bool }
		}
	}
	if err := json.Unmarshal([]byte(s.relay("show", "--json")), &shown); err != nil {
		s.t.Logf("shop relay show --json: %v", err)
		return false
	}
	for _, r := range shown.Relays {
		if r.Mode != mode || r.SlotState.Active != read {
			return false
		}
	}
	return len(shown.Relays) == len(eventshop.Publishers())
}

// The worker's settings exist twice, because its image contains no program of the shop.
func TestConnectIsSetAsDeclared(t *testing.T) {
	b, err := os.ReadFile("../../deploy/connect/connect.properties")
	if err != nil {
		t.Fatal(err)
	}
	want := apache.WorkerSettings([]string{"kafka:9092"})
	own := []string{"listeners", "plugin.path", "rest.advertised.host.name", "rest.advertised.port"}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "" || strings.HasPrefix(key, "#") || slices.Contains(own, key) {
			continue
		}
		if got, ok := want[key]; !ok || got != value {
			t.Errorf("%s is %q, declared %q", key, value, got)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("missing: %s", fmt.Sprint(want))
	}
}
