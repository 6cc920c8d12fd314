// Package compose tests deploy/compose.yaml as it is delivered: images, roles, jobs, health,
// restarts. scripts/test --on compose builds the images and runs it.
package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clients "eventshop.example/lab/load"
	"eventshop.example/ops/eventshop"
)

// stackVariable must be "compose" for this package to run: it takes two minutes, 2 GB and a Docker
// engine.
const stackVariable = "EVENTSHOP_E2E_STACK"

// shop is the compose project of one test.
type shop struct {
	t       *testing.T
	project string
	file    string
	env     []string       // of docker compose
	port    map[string]int // by variable
}

// listeners returns the variables of compose.yaml that set ports.
func listeners() []string {
	names := []string{"KAFKA_PORT", "REGISTRY_PORT", "GATEWAY_PORT", "CARRIER_PORT", "MAILBOX_PORT", "CONNECT_PORT"}
	for _, s := range eventshop.Services() {
		s = strings.ToUpper(s)
		names = append(names, s+"_PORT", s+"_OPERATOR_PORT", "POSTGRES_"+s+"_PORT")
	}
	return names
}

// up starts a separate project on free ports and removes it with its volumes at the end.
func up(t *testing.T) *shop {
	t.Helper()
	if os.Getenv(stackVariable) != "compose" {
		t.Skip("run by scripts/test --on compose")
	}
	file, err := filepath.Abs("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, project: "eventshop-test-" + strconv.Itoa(os.Getpid()), file: file, env: append(os.Environ(), "LOAD_RATE=10"), port: map[string]int{}}
	var held []net.Listener // until all are chosen, so that no port is chosen twice
	for _, name := range listeners() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		s.port[name] = l.Addr().(*net.TCPAddr).Port
		s.env = append(s.env, fmt.Sprintf("%s=%d", name, s.port[name]))
	}
	for _, l := range held {
		l.Close()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.try("ps", "-a"))
			t.Log(s.try("logs", "--tail", "30"))
		}
		s.try("--profile", "*", "down", "--volumes", "--timeout", "5")
	})
	s.compose("up", "--detach", "--no-build", "--quiet-pull")
	return s
}

// in returns the shop for a subtest.
func (s *shop) in(t *testing.T) *shop {
	part := *s
	part.t = t
	return &part
}

// try runs docker compose and returns what it printed.
func (s *shop) try(args ...string) string {
	out, _ := s.run(args...)
	return out
}

func (s *shop) run(args ...string) (string, error) {
	cmd := exec.Command("docker", append([]string{"compose", "-p", s.project, "-f", s.file}, args...)...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *shop) compose(args ...string) {
	s.t.Helper()
	if out, err := s.run(args...); err != nil {
		s.t.Fatalf("docker compose %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (s *shop) url(service string) string {
	return fmt.Sprintf("http://127.0.0.1:%d", s.port[strings.ToUpper(service)+"_PORT"])
}

// order places an order and returns its id. It repeats the request until it is accepted.
func (s *shop) order(key, sku string) string {
	s.t.Helper()
	client := clients.NewClient()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	a, err := client.Insist(ctx, func() string { return s.url("order") + "/orders" },
		clients.Order{Customer: "ada", SKU: sku, Quantity: 1}.Body(), key, http.StatusCreated)
	if err != nil {
		s.t.Fatal(err)
	}
	return a.OrderID()
}

// await waits until an order has one of the statuses.
func (s *shop) await(id string, want ...string) {
	s.t.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for got := ""; ; {
		if a, err := clients.NewClient().Send(s.t.Context(), http.MethodGet, s.url("order")+"/orders/"+id, ""); err == nil {
			var order struct{ Status string }
			if json.Unmarshal(a.Body, &order) == nil {
				got = order.Status
			}
		}
		for _, w := range want {
			if got == w {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("order %s is %q, want one of %v", id, got, want)
		}
	}
}

// TestCompose is one test, because a project takes a while to start. It checks that an order is
// delivered, that no role has more rights than it needs, that the demo's load can be switched on
// and off, that every process killed with SIGKILL returns by itself, and that all data exists after
// down and up.
func TestCompose(t *testing.T) {
	began := time.Now()
	s := up(t)
	s.await(s.order("first", "WIDGET-01"), "CONFIRMED", "SHIPPED", "DELIVERED")
	t.Logf("first order CONFIRMED %s after docker compose up", time.Since(began).Round(100*time.Millisecond))

	s.quiet()
	for _, service := range eventshop.Services() {
		s.refuses(service)
		s.sessions(service)
	}
	t.Run("contained", func(t *testing.T) { s.in(t).contained() })
	t.Run("adopted", func(t *testing.T) { s.in(t).adopted() })
	t.Run("load", func(t *testing.T) { s.in(t).load() })
	t.Run("memory", func(t *testing.T) { s.in(t).fits() }) // before any restart, except by the memory limit
	t.Run("crashes", func(t *testing.T) {
		for i, target := range []string{"order", "kafka", "postgres-payment", "registry", "payment", "gateway"} {
			s := s.in(t)
			// From inside, like a crash: Docker does not restart containers that a command killed.
			s.crash(target)
			s.await(s.order(fmt.Sprintf("after-%d", i), "WIDGET-01"), "CONFIRMED", "SHIPPED", "DELIVERED")
			t.Logf("%s was killed; an order went through", target)
		}
	})

	ids := s.schemas()
	s.compose("--profile", "load", "down", "--timeout", "20") // the volumes stay
	s.compose("up", "--detach", "--no-build")
	s.await(s.order("first", "WIDGET-01"), "DELIVERED") // the same key: the same order
	s.await(s.order("last", "WIDGET-01"), "CONFIRMED", "SHIPPED", "DELIVERED")
	if got := s.schemas(); !maps.Equal(got, ids) || len(got) < 20 {
		t.Errorf("schemas by subject were %v and are %v", ids, got)
	}
	s.leavesNothing()
}

// schemas returns the ids of each subject's latest schema. Events carry them.
func (s *shop) schemas() map[string]int {
	s.t.Helper()
	read := func(path string, into any) {
		a, err := clients.NewClient().Send(s.t.Context(), http.MethodGet, s.url("registry")+path, "")
		if err == nil && a.Status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.Status, a.Body)
		}
		if err == nil {
			err = json.Unmarshal(a.Body, into)
		}
		if err != nil {
			s.t.Fatalf("registry: %s: %v", path, err)
		}
	}
	var subjects []string
	read("/subjects", &subjects)
	ids := map[string]int{}
	for _, subject := range subjects {
		var latest struct{ ID int }
		read("/subjects/"+subject+"/versions/latest", &latest)
		ids[subject] = latest.ID
	}
	return ids
}
