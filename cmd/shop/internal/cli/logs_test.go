package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/operators/opstest"
)

// logged writes a process's log.
func (s *shop) logged(process, text string) {
	s.t.Helper()
	path := filepath.Join(s.state, "logs", process+".log")
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.logged("order", `{"time":"2020-01-31T03:00:01Z","level":"INFO","msg":"placed","service":"order","orderId":"`+orderID(1)+`"}`+"\n"+
		`{"time":"2020-01-31T03:00:04Z","level":"WARN","msg":"slow","service":"order"}`+"\n")
	s.logged("payment", `{"time":"2020-01-31T03:00:02Z","level":"INFO","msg":"charged","service":"payment","orderId":"`+orderID(1)+`"}`+"\n")
	s.logged("postgres", "2020-01-31 03:00:03.000 UTC [7] ERROR:  deadlock detected\n")

	// text returns each line's process and message.
	text := func(args ...string) (out []string) {
		for _, w := range words(s.must(append([]string{"logs"}, args...)...)) {
			out = append(out, w[2]+" "+w[4])
		}
		return out
	}
	for name, c := range map[string]struct{ args, want []string }{
		"all":      {nil, []string{"order placed", "payment charged", "postgres deadlock", "order slow"}},
		"last":     {[]string{"-n", "2"}, []string{"postgres deadlock", "order slow"}},
		"one":      {[]string{"order"}, []string{"order placed", "order slow"}},
		"two":      {[]string{"order", "--service", "payment"}, []string{"order placed", "payment charged", "order slow"}},
		"services": {[]string{"--service", "payment", "--service", "postgres"}, []string{"payment charged", "postgres deadlock"}},
		"order":    {[]string{"--order", orderID(1)}, []string{"order placed", "payment charged"}},
		"level":    {[]string{"--level", "warn"}, []string{"postgres deadlock", "order slow"}},
		"since":    {[]string{"--since", "2020-01-31T03:00:03Z"}, []string{"postgres deadlock", "order slow"}},
	} {
		if diff := cmp.Diff(c.want, text(c.args...)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	s.must("logs")
	s.has(s.progress, "carrier has no log\n")
	s.has(s.must("logs", "postgres", "--json"), `{"process":"postgres","time":"2020-01-31T03:00:03Z","level":"ERROR","msg":"deadlock detected"}`+"\n")
	s.has(s.must("logs", "--raw", "order", "carrier"), "==> order\n"+`{"time":"2020-01-31T03:00:01Z"`, "==> carrier\ncarrier has no log\n")
	if out := s.must("logs", "-n", "0"); out != "" {
		t.Errorf("no lines: %s", out)
	}
	s.must("logs", "--order", "zzz")
	s.has(s.progress, "no line names order zzz\n")
	s.must("logs", "order", "--order", "a\x1b[2J", "--json")
	s.has(s.progress, `of the selected lines none names order "a\x1b[2J"`+"\n")
	s.must("logs", "--order", strings.ToUpper(orderID(1)), "-n", "0")
	if strings.Contains(s.progress, "names order") {
		t.Error(s.progress)
	}
	for _, with := range [][]string{{"--order", orderID(1)}, {"--level", "warn"}, {"--since", "5m"}, {"--json"}} {
		s.fails(append([]string{"logs", "--raw"}, with...), "--raw", "does not go with "+with[0])
	}
	s.fails([]string{"logs", "--raw", "-f", "order", "payment"}, "follows one process", "shop logs --raw -f order")
	s.fails([]string{"logs", "--raw", "-f"}, "follows one process")
	s.has(s.must("logs", "--raw", "-n", "1", "--service", "order"), `"msg":"slow"`)
	s.fails([]string{"logs", "nobody"}, `there is no process "nobody"`, "payment")
	s.fails([]string{"logs", "--service", "pay"}, `there is no service "pay"`)
	s.fails([]string{"logs", "--level", "loud"}, "--level")
	s.fails([]string{"logs", "--since", "long"}, "--since")
	s.fails([]string{"logs", "-n", "-1"}, "--lines")
	s.state = t.TempDir()
	s.fails([]string{"logs"}, "there is no shop")
}

// TestLogsOfReplicas: a service selects all its processes, a process only itself.
func TestLogsOfReplicas(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	u := opstest.StartServices(t).URL
	s.stateIs(map[string]any{"ports": map[string]int{}, "operators": map[string]string{}, "urls": map[string]string{"order": u}, "replicas": map[string]int{"payment": 2}})
	s.logged("payment", `{"time":"2020-01-31T03:00:01Z","level":"INFO","msg":"a","service":"payment"}`+"\n")
	s.logged("payment-2", `{"time":"2020-01-31T03:00:02Z","level":"INFO","msg":"b","service":"payment"}`+"\n")
	out := s.must("logs", "--service", "payment")
	s.has(out, "  payment    INFO   a\n", "  payment-2  INFO   b\n")
	if out := s.must("logs", "payment"); strings.Contains(out, "payment-2") {
		t.Error(out)
	}
}
