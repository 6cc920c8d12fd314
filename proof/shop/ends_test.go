package shop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"eventshop.example/services/orchestrator/orchestrator"
)

// differences are the ends that one style has and the other has not, each with the reason. The
// README lists them.
var differences = map[string]string{
	"| all goes well | OrderCreated | the customer | CANCELLED, money not taken, stock free, parcel stays | choreographed |":       noVoid,
	"| all goes well | OrderCreated | the deadline | CANCELLED, money not taken, stock free, parcel stays | choreographed |":       noVoid,
	"| out of stock | OrderCreated | the customer | CANCELLED, money not taken, stock free, parcel stays | choreographed |":        noVoid,
	"| out of stock | OrderCreated | the deadline | CANCELLED, money not taken, stock free, parcel stays | choreographed |":        noVoid,
	"| the carrier refuses | OrderCreated | the customer | CANCELLED, money not taken, stock free, parcel stays | choreographed |": noVoid,
	"| the carrier refuses | OrderCreated | the deadline | CANCELLED, money not taken, stock free, parcel stays | choreographed |": noVoid,
}

const noVoid = "RefundPayment follows ChargePayment on one topic, so the charge is never overtaken: it is made and returned"

// TestBothStylesEndAlike: whatever the outside does, and whenever the order is cancelled, it can end
// in the same ways in both styles, but for the differences that are listed.
func TestBothStylesEndAlike(t *testing.T) {
	t.Parallel()
	m := New(Real(), Rules{})
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found, compared := map[string]bool{}, 0
	for _, script := range Scripts() {
		for _, at := range Moments() {
			for _, byDeadline := range []bool{false, true} {
				if at == Never && byDeadline {
					continue
				}
				var ends [styles][]string
				for style := range ends {
					all, breach := m.Ends(Style(style), script, at, byDeadline, Bounds{})
					if breach != nil {
						t.Fatalf("%s, %s, cancelled at %s: %s: %s", Style(style), script.Name, at, breach.Invariant, breach.Text)
					}
					ends[style] = all
				}
				if len(ends[Choreographed]) > 0 {
					compared++
				}
				by := map[bool]string{false: "the customer", true: "the deadline"}[byDeadline]
				for style := range ends {
					for _, end := range ends[style] {
						if !slices.Contains(ends[1-style], end) {
							found[fmt.Sprintf("| %s | %s | %s | %s | %s |", script.Name, at, by, end, Style(style))] = true
						}
					}
				}
			}
		}
	}
	for difference := range found {
		if differences[difference] == "" {
			t.Errorf("a difference without a reason: %s", difference)
		}
	}
	for difference, why := range differences {
		if !found[difference] {
			t.Errorf("not a difference any more: %s", difference)
		}
		if row := difference + " " + why + " |"; !strings.Contains(string(page), "\n"+row+"\n") {
			t.Errorf("README.md does not have the line %s", row)
		}
	}
	if says := fmt.Sprintf("%d combinations", compared); !strings.Contains(string(page), says) {
		t.Errorf("README.md does not say %q", says)
	}
}

// TestOnlyTheOtherStyleShowsIt: an orchestrator that gives up every order violates no invariant, but
// its orders end as no choreographed one does.
func TestOnlyTheOtherStyleShowsIt(t *testing.T) {
	t.Parallel()
	tables := Real()
	tables.Orchestrator = func(s orchestrator.State, in orchestrator.Input) orchestrator.Decision {
		if s == orchestrator.Reserving && in == orchestrator.InventoryReserved {
			return orchestrator.Decision{Action: orchestrator.Compensate, Next: orchestrator.Releasing, Effect: orchestrator.ReleaseInventory}
		}
		return Real().Orchestrator(s, in)
	}
	m := New(tables, Rules{})
	well := Scripts()[0]
	choreographed, _ := m.Ends(Choreographed, well, Never, false, Bounds{})
	orchestrated, breach := m.Ends(Orchestrated, well, Never, false, Bounds{})
	if breach != nil || slices.Equal(choreographed, orchestrated) {
		t.Errorf("breach %v; both styles end as %v", breach, orchestrated)
	}
}
