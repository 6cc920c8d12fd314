package postgres_test

import (
	"testing"
	"time"
)

// eventually waits until what holds, and fails the test when it does not for half a minute.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("waited 30 s for %s", what)
		case <-tick.C:
		}
	}
}
