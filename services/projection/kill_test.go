package projection

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/participant/participanttest"
	"eventshop.example/pkg/schema"
)

// process is the service's program, run as a process.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	passed chan int64 // how many records each filling of revenue version 2 has passed, from the log
	output sync.WaitGroup
}

// built builds the program.
func built(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "projection")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/projection")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return path
}

// run starts the program with the settings of the site. It ends with the test at the latest.
func (s *site) run(path string, more ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, cmd: exec.CommandContext(s.t.Context(), path), passed: make(chan int64, 10)}
	p.cmd.Env = append(os.Environ(), "ADDR="+s.cfg.Addr, "OPERATOR_ADDR="+s.cfg.OperatorAddr, "DATABASE_URL="+s.cfg.DatabaseURL,
		"KAFKA_BROKERS="+strings.Join(s.brokers, ","), "SCHEMA_REGISTRY_URL="+s.cfg.RegistryURL)
	p.cmd.Env = append(p.cmd.Env, more...)
	out, into := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = into, into
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p.output.Go(func() {
		follows := regexp.MustCompile(`projection follows.*"projection":"revenue".*"records":([0-9]+)`)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if found := follows.FindStringSubmatch(lines.Text()); found != nil {
				n, _ := strconv.ParseInt(found[1], 10, 64)
				p.passed <- n
			}
		}
	})
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()
		into.Close()
		p.output.Wait()
	})
	return p
}

// signal ends the process by a signal and waits for its end.
func (p *process) signal(sig syscall.Signal) *os.ProcessState {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // the state says how it ended
	return p.cmd.ProcessState
}

// TestAFillingGoesOnAfterSIGKILL: the process dies in the middle of a filling. The next one goes on where
// the last transaction was, reads nothing again that was committed, and the version has no difference to
// the live one.
func TestAFillingGoesOnAfterSIGKILL(t *testing.T) {
	t.Parallel()
	program := built(t)
	s := newSite(t)
	s.cfg.OperatorAddr, s.cfg.Addr = participanttest.Address(t), participanttest.Address(t)
	codec := schema.NewCodec(schema.NewClient(s.cfg.RegistryURL), events.Catalogue())
	records := append(s.records, deliveredOrders(t, codec, 6000)...)
	kafkatest.Produce(t, s.brokers, records...)
	total := int64(len(records))

	first := s.run(program, "FILL_SET=20")
	s.read(len(records))
	s.becomes("revenue", 2, operatorapi.ProjectionVersionStateWaiting)
	change := map[string]any{}
	began := time.Now()
	if v, status := operate[operatorapi.ProjectionVersion](t, s.cfg, "/projections/revenue/rebuild", change); status != http.StatusOK {
		t.Fatalf("rebuild: %d %+v", status, v)
	}
	kafkatest.Eventually(t, "half of the filling", func() bool { return s.filled() >= total/2 })
	state := first.signal(syscall.SIGKILL)
	killed := time.Now()
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v", state)
	}
	s.exec(`SELECT FROM projection_versions WHERE projection = 'revenue' FOR UPDATE`) // behind a COMMIT that is under way
	committed := s.filled()
	if committed < total/2 || committed >= total {
		t.Fatalf("%d of %d records were filled at the kill", committed, total)
	}

	second := s.run(program)
	s.becomes("revenue", 2, operatorapi.ProjectionVersionStateFollowing)
	var passed int64
	kafkatest.Eventually(t, "the line about the filling", func() bool {
		select {
		case passed = <-second.passed:
			return true
		default:
			return false
		}
	})
	if passed != total-committed {
		t.Errorf("the second process passed %d records; %d of %d were left", passed, total-committed, total)
	}
	d, status := operate[operatorapi.ProjectionDiff](t, s.cfg, "/projections/revenue/diff", nil)
	if status != http.StatusOK || len(d.Compared) != 1 || d.Compared[0].Differences != 0 || d.Compared[0].Rows == 0 || d.Failures != 0 {
		t.Errorf("difference: %d %+v", status, d)
	}
	t.Logf("killed after %.1f s with %d of %d records committed; the next process passed %d, so it read %d committed records again; it follows %.1f s after the kill, with the wait for the lease",
		killed.Sub(began).Seconds(), committed, total, passed, passed-(total-committed), time.Since(killed).Seconds())
	if v, status := operate[operatorapi.ProjectionVersion](t, s.cfg, "/projections/revenue/switch", map[string]any{"version": 2}); status != http.StatusOK || v.State != "live" {
		t.Errorf("switch: %d %+v", status, v)
	}
	s.nothingIn("dead_letters", "projection_failures")
	second.signal(syscall.SIGTERM)
}

// filled returns how many records version 2 of the revenue contains.
func (s *site) filled() (n int64) {
	s.t.Helper()
	err := s.pool.QueryRow(s.t.Context(), `SELECT coalesce(sum(next_offset), 0)::bigint FROM projection_positions
		WHERE projection = 'revenue' AND version = 2`).Scan(&n)
	if err != nil {
		s.t.Fatal(fmt.Errorf("positions of the filling: %w", err))
	}
	return n
}
