package compose

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// counts is a line of shop load, as docker compose logs it.
var counts = regexp.MustCompile(`(\d+) placed, (\d+) confirmed, (\d+) cancelled.*, (\d+) waiting(, \d+ went wrong.*)?`)

// load switches the demo's load on, off, and on again. Its orders are confirmed and cancelled as it
// reports, and with the load off there are no new orders.
func (s *shop) load() {
	const enough = 30
	before := s.loaded("TRUE")
	for range 2 {
		s.compose("--profile", "load", "up", "--detach", "--no-build", "load")
		s.eventually("orders of the load are confirmed and cancelled", func() bool {
			return s.loaded("status IN ('CONFIRMED', 'SHIPPED', 'DELIVERED')") >= before+enough && s.loaded("status = 'CANCELLED'") > 0
		})
		s.compose("--profile", "load", "stop", "--timeout", "20", "load")

		out, err := s.run("--profile", "load", "logs", "--no-log-prefix", "--tail", "1", "load")
		n := counts.FindStringSubmatch(strings.TrimSpace(out))
		if err != nil || n == nil || n[5] != "" {
			s.t.Fatalf("at its end the load says %q: %v", out, err)
		}
		placed, _ := strconv.Atoi(n[1])
		confirmed, _ := strconv.Atoi(n[2])
		cancelled, _ := strconv.Atoi(n[3])
		if confirmed < enough/2 || cancelled == 0 || placed < confirmed+cancelled {
			s.t.Errorf("the load counted %s", n[0])
		}
		s.t.Log(n[0])
		// When every placed order is in the read model, no order is under way.
		s.eventually("each order placed is in the read model", func() bool { return s.loaded("TRUE") >= before+placed })
		if got := s.loaded("TRUE"); got > before+placed+inFlight {
			s.t.Errorf("%d orders came of %d that the load placed", got-before, placed)
		}
		before = s.loaded("TRUE")
	}
}

// inFlight bounds the orders whose answer the load had not received when it was stopped.
const inFlight = 10

// loaded counts the load's orders in the read model.
func (s *shop) loaded(condition string) (n int) {
	s.t.Helper()
	c := s.connect("projection", "postgres")
	defer c.Close(s.t.Context())
	if err := c.QueryRow(s.t.Context(), `SELECT count(*) FROM orders WHERE customer_id LIKE 'load-%' AND `+condition).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *shop) eventually(what string, condition func() bool) {
	s.t.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(250*time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("not within 2m: %s", what)
		}
	}
}
