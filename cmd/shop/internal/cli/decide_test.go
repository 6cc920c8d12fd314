package cli_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
)

func TestResubmit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.payment.Add(1, "key-1")
	s.order.Add(2, "key-2")
	out := s.must("dlq", "resubmit", opstest.ID(1), opstest.ID(2), opstest.ID(1), "--as", "ada", "--reason", "fixed")
	s.has(out, opstest.ID(1)+"  payment     resubmitted\n", opstest.ID(2)+"  order       resubmitted\n", "resubmitted 2, no effect 0, failed 0\n")
	want := []string{post(1, "resubmit", "ada", `{"reason":"fixed"}`)}
	if diff := cmp.Diff(want, s.payment.Changes()); diff != "" {
		t.Error(diff)
	}
	out = s.must("dlq", "resubmit", opstest.ID(1))
	s.has(out, "no effect: it is resubmitted\n", "resubmitted 0, no effect 1, failed 0\n")

	s.fails([]string{"dlq", "resubmit"}, "which?")
	s.fails([]string{"dlq", "resubmit", opstest.ID(1), "--all"}, "not both")
	s.fails([]string{"dlq", "resubmit", opstest.ID(1), "--group", "order"}, "not both")
	s.fails([]string{"dlq", "resubmit", opstest.ID(3)}, "no group has")
}

func TestManyAreCountedAndFewListed(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for n := range 230 {
		s.payment.Add(n, fmt.Sprint("key-", n))
	}
	out := s.must("dlq", "resubmit", "--all", "--dry-run")
	s.has(out, opstest.ID(19)+"  payment     would be resubmitted\n… and 210 more: would be resubmitted\n",
		"would be resubmitted 230, no effect 0, failed 0\n")
}

func TestResubmitManyInOrder(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for n := range 230 {
		s.payment.Add(n, fmt.Sprint("key-", n))
	}
	s.order.Add(500, "key-500").ErrorClass = "hopeless"
	s.payment.Refuses = opstest.ID(7)
	out := s.fails([]string{"dlq", "resubmit", "--all", "--class", "internal", "--as", "ada"}, "1 failed")
	s.has(out, opstest.ID(7)+"  payment     failed: the server failed; the log has the reason", "resubmitted 229, no effect 0, failed 1\n")
	s.has(s.progress, "100 of 230\n200 of 230\n")
	changes := s.payment.Changes()
	if len(changes) != 230 || !slices.IsSorted(changes) || changes[0] != post(0, "resubmit", "ada", "{}") {
		t.Errorf("%d changes, the first %s", len(changes), changes[0])
	}
	if got := s.order.Status(500); got != operators.Open {
		t.Errorf("what the filter leaves out is %s", got)
	}

	// The error names the group that is down; the others are done.
	s.paymentIsDown()
	out = s.fails([]string{"dlq", "resubmit", "--all"}, "payment cannot be asked")
	s.has(out, "resubmitted 1, no effect 0, failed 0\n")
}

// TestAGroupThatGoesSilentIsNotTriedOnAndOn: each attempt may take half a minute.
func TestAGroupThatGoesSilentIsNotTriedOnAndOn(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for n := range 3 {
		s.payment.Add(n, fmt.Sprint("key-", n))
	}
	s.payment.HangsUp = true
	out := s.fails([]string{"dlq", "resubmit", "--all"}, "3 failed")
	s.has(out, opstest.ID(0)+"  payment     failed: http://", opstest.ID(1)+"  payment     failed: not tried: http://")
	if n := len(s.payment.Changes()); n != 1 {
		t.Errorf("%d tries", n)
	}
}

func TestResubmitDryRunLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.payment.Add(1, "key-1")
	s.must("dlq", "resubmit", "--all", "--dry-run", "--wait") // does not wait for what was not done
	s.must("dlq", "discard", opstest.ID(1), "--reason", "r", "--dry-run")
	if got := s.payment.Status(1); got != operators.Open {
		t.Errorf("it is %s", got)
	}
	for _, c := range s.payment.Changes() {
		if !strings.Contains(c, `"dryRun":true`) {
			t.Errorf("%s", c)
		}
	}
}

func TestResubmitAndWait(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for n := range 3 {
		s.payment.Add(n, fmt.Sprint("key-", n))
	}
	s.payment.Ends = func(d *operators.Detail) {
		d.Status = operators.Resolved
		if d.ID == opstest.ID(1) {
			d.Status, d.ErrorMessage = operators.Open, "boom again"
		}
	}
	out := s.fails([]string{"dlq", "resubmit", "--all", "--wait"}, "1 open again")
	s.has(out, opstest.ID(0)+"  resolved\n", opstest.ID(1)+"  open again: boom again\n", opstest.ID(2)+"  resolved\n",
		"resubmitted 3, no effect 0, failed 0\nresolved 2, open again 1, still under way 0\n")

	s.payment.Ends = nil
	out = s.fails([]string{"dlq", "resubmit", opstest.ID(1), "--wait", "--timeout", "1ms"}, "1 still under way")
	s.has(out, opstest.ID(1)+"  still under way\n")
	// It is under way: there is no second effect, but the command still waits for it.
	out = s.fails([]string{"dlq", "resubmit", opstest.ID(1), "--wait", "--timeout", "1ms", "--json"}, "1 still under way")
	v := decode(t, out)
	if v["done"] != 0.0 || v["noEffect"] != 1.0 || v["underWay"] != 1.0 || v["deadLetters"].([]any)[0].(map[string]any)["status"] != string(operators.Resubmitted) {
		t.Errorf("%v", v)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.payment.Add(1, "key-1").Followers = 2
	s.fails([]string{"dlq", "discard", opstest.ID(1)}, "--reason")
	out := s.must("dlq", "discard", opstest.ID(1), "--reason", "rubbish", "--as", "ada")
	s.has(out, "discarded; 2 records go on behind it\n", "discarded 1, no effect 0, failed 0\n")
	if diff := cmp.Diff([]string{post(1, "discard", "ada", `{"reason":"rubbish"}`)}, s.payment.Changes()); diff != "" {
		t.Error(diff)
	}
	out = s.fails([]string{"dlq", "discard", opstest.ID(1), "--reason", "rubbish"}, "1 failed")
	s.has(out, "is discarded", "failed 1\n")
}

func TestDiscardByFilterAsks(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.payment.Add(1, "key-1")
	s.order.Add(2, "key-2")
	discard := []string{"dlq", "discard", "--all", "--reason", "r"}
	for answer, parts := range map[string][]string{"": {"not confirmed", "--yes"}, "n\n": {"not confirmed"}, "yes, please\n": {"not confirmed"}} {
		s.stdin = answer
		s.fails(discard, parts...)
		s.has(s.progress, "discard 2 dead letters for good (order 1, payment 1)?")
	}
	if s.payment.Status(1) != operators.Open || s.order.Status(2) != operators.Open {
		t.Error("it did so nevertheless")
	}
	s.stdin = "y\n"
	s.has(s.must("dlq", "discard", "--group", "order", "--reason", "r"), "discarded 1, no effect 0, failed 0\n")
	s.stdin = ""
	s.has(s.must(append(discard, "--yes")...), "discarded 1, no effect 0, failed 0\n")
	s.has(s.must(discard...), "discarded 0, no effect 0, failed 0\n") // no dead letter, so no question
}

func TestActorIsTheUser(t *testing.T) {
	s := newShop(t) // not parallel: it sets the environment
	t.Setenv("USER", "grace")
	s.payment.Add(1, "key-1")
	s.must("dlq", "resubmit", opstest.ID(1))
	if diff := cmp.Diff([]string{post(1, "resubmit", "grace", "{}")}, s.payment.Changes()); diff != "" {
		t.Error(diff)
	}
}
