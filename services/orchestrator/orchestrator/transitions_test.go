package orchestrator

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDecideAnswersEveryPair compares every cell of every released definition with the grid in
// testdata. A grid of a released definition never changes.
func TestDecideAnswersEveryPair(t *testing.T) {
	for _, d := range Definitions() {
		path := fmt.Sprintf("testdata/definition-%d.txt", d.Version)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(grid(d), "\n")
		for i, line := range strings.Split(string(want), "\n") {
			if i >= len(got) || got[i] != line {
				t.Errorf("%s, line %d is\n%s\nthe table has\n%s", path, i+1, line, slices.Concat(got, make([]string, i+1))[i])
			}
		}
		if t.Failed() {
			t.Logf("the whole grid:\n%s", grid(d))
		}
	}
}

// grid writes a definition's table: per state the inputs of each decision, except those that are
// duplicates.
func grid(d Definition) string {
	var b strings.Builder
	for _, s := range States() {
		name := string(s)
		if s == None {
			name = "NONE"
		}
		fmt.Fprintf(&b, "%s\n", name)
		if due := d.Due(s); due > 0 {
			fmt.Fprintf(&b, "  due in %s\n", due)
		}
		var order []string
		inputs := map[string][]string{}
		for _, in := range Inputs() {
			decision := Decide(d, s, in)
			if decision == duplicate(s) {
				continue
			}
			text := string(decision.Action)
			if decision.Next != s {
				text += " → " + string(decision.Next)
			}
			if decision.Effect != NoEffect {
				text += ", send " + string(decision.Effect)
			}
			if decision.Attention {
				text += ", attention"
			}
			if inputs[text] == nil {
				order = append(order, text)
			}
			inputs[text] = append(inputs[text], string(in))
		}
		for _, text := range order {
			fmt.Fprintf(&b, "  %s\n    on %s\n", text, strings.Join(inputs[text], ", "))
		}
	}
	return b.String()
}

// TestUnknownStatesRefuse: a state of another definition is not guessed at.
func TestUnknownStatesRefuse(t *testing.T) {
	short := Definition{Version: 1, Steps: first().Steps[:1]}
	for _, in := range Inputs() {
		if got, want := Decide(short, Reserving, in), (Decision{Action: Refuse, Next: Reserving}); got != want {
			t.Errorf("%s: %+v, want %+v", in, got, want)
		}
	}
}

// TestOldFailuresToRefundAreNoAlarm: PaymentRefundFailed that comes again after the money was returned
// asks for no person, wherever the saga is on its way back then.
func TestOldFailuresToRefundAreNoAlarm(t *testing.T) {
	for _, d := range Definitions() {
		after := 0
		for s := Refunding; !s.Ended(); {
			in := OrderCancelled
			if i := d.undoing(s); i >= 0 {
				in = d.Steps[i].Undone[0]
			}
			s = Decide(d, s, in).Next
			after++
			if got := Decide(d, s, PaymentRefundFailed); got != duplicate(s) {
				t.Errorf("definition %d, %s: %+v", d.Version, s, got)
			}
		}
		if want := []int{2, 3}[d.Version-1]; after != want {
			t.Errorf("definition %d: %d states after the refund, want %d", d.Version, after, want)
		}
	}
}

// TestDefinitionsAreSound checks what Decide relies on.
func TestDefinitionsAreSound(t *testing.T) {
	for i, d := range Definitions() {
		if d.Version != i+1 {
			t.Errorf("definition %d has version %d", i+1, d.Version)
		}
		pivots := 0
		states, commands := map[State]bool{None: true, Confirmed: true, Shipped: true, Delivered: true, Closing: true, Cancelled: true}, map[Effect]bool{CancelOrder: true}
		for _, step := range d.Steps {
			fresh := func(s State) {
				if states[s] || !slices.Contains(States(), s) {
					t.Errorf("definition %d, step %s: state %q is used twice or not listed", d.Version, step.Name, s)
				}
				states[s] = true
			}
			command := func(c Effect) {
				if commands[c] || !slices.Contains(Effects(), c) {
					t.Errorf("definition %d, step %s: command %q is used twice or not listed", d.Version, step.Name, c)
				}
				commands[c] = true
			}
			fresh(step.Waits)
			command(step.Command)
			if step.Compensation != NoEffect {
				fresh(step.Undoes)
				command(step.Compensation)
			}
			if (step.Compensation == NoEffect) != (len(step.Undone) == 0) || len(step.Done) == 0 || step.Due <= 0 {
				t.Errorf("definition %d, step %s: incomplete", d.Version, step.Name)
			}
			if step.Pivot {
				pivots++
			}
		}
		if pivots != 1 || d.CloseDue <= 0 {
			t.Errorf("definition %d: %d steps hand the parcel over, want 1; closing is due in %s", d.Version, pivots, d.CloseDue)
		}
	}
}
