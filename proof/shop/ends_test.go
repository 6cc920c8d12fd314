package shop

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"eventshop.example/services/orchestrator/orchestrator"
)

// differences are the ends that one style has and the other has not, by definition, each with the reason.
// The README lists them.
var differences = []map[string]string{
	{}, // the first definition has the steps of the choreographed style in their order
	{
		"| all goes well | InventoryReserved | the customer | CANCELLED, money not taken, stock free, parcel stays | orchestrated |":         between,
		"| all goes well | InventoryReserved | the deadline | CANCELLED, money not taken, stock free, parcel stays | orchestrated |":         between,
		"| the card is declined | InventoryReserved | the customer | CANCELLED, money not taken, stock free, parcel stays | orchestrated |":  between,
		"| the card is declined | InventoryReserved | the deadline | CANCELLED, money not taken, stock free, parcel stays | orchestrated |":  between,
		"| the carrier refuses | InventoryReserved | the customer | CANCELLED, money not taken, stock free, parcel stays | orchestrated |":   between,
		"| the carrier refuses | InventoryReserved | the deadline | CANCELLED, money not taken, stock free, parcel stays | orchestrated |":   between,
		"| out of stock | never | the customer | CANCELLED, money returned, stock free, parcel stays | choreographed |":                      uncharged,
		"| out of stock | never | the customer | CANCELLED, money not taken, stock free, parcel stays | orchestrated |":                      uncharged,
		"| out of stock | OrderCreated | the customer | CANCELLED, money returned, stock free, parcel stays | choreographed |":               uncharged,
		"| out of stock | OrderCreated | the deadline | CANCELLED, money returned, stock free, parcel stays | choreographed |":               uncharged,
		"| out of stock | PaymentCompleted | the customer | CANCELLED, money returned, stock free, parcel stays | choreographed |":           uncharged,
		"| out of stock | PaymentCompleted | the deadline | CANCELLED, money returned, stock free, parcel stays | choreographed |":           uncharged,
		"| out of stock | InventoryReservationFailed | the customer | CANCELLED, money returned, stock free, parcel stays | choreographed |": uncharged,
		"| out of stock | InventoryReservationFailed | the deadline | CANCELLED, money returned, stock free, parcel stays | choreographed |": uncharged,
		"| out of stock | InventoryReservationFailed | the customer | CANCELLED, money not taken, stock free, parcel stays | orchestrated |": uncharged,
		"| out of stock | InventoryReservationFailed | the deadline | CANCELLED, money not taken, stock free, parcel stays | orchestrated |": uncharged,
	},
}

// The reasons.
const (
	uncharged = "the goods are reserved first, so an order that is out of stock is never charged"
	between   = "the charge follows the reservation, so the order can be cancelled between them, before anything is taken"
)

// TestBothStylesEndAlike: whatever the outside does, and whenever the order is cancelled, it can end
// in the same ways in both styles, under each definition, but for the differences that are listed.
func TestBothStylesEndAlike(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range orchestrator.Definitions() {
		t.Run(fmt.Sprintf("definition %d", d.Version), func(t *testing.T) {
			t.Parallel()
			found, compared := compareEnds(t, Coordination{Orchestrated, d.Version})
			listed := differences[d.Version-1]
			for _, difference := range slices.Sorted(maps.Keys(found)) {
				if listed[difference] == "" {
					t.Errorf("a difference without a reason: %s", difference)
				}
			}
			for difference, why := range listed {
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
		})
	}
}

// compareEnds returns the ends that either the choreographed style or the other way has alone, and how
// many combinations can happen.
func compareEnds(t *testing.T, other Coordination) (found map[string]bool, compared int) {
	m := New(Real(), Rules{})
	found = map[string]bool{}
	ways := [2]Coordination{{}, other}
	for _, script := range Scripts() {
		for _, at := range Moments() {
			for _, byDeadline := range []bool{false, true} {
				if at == Never && byDeadline {
					continue
				}
				var ends [len(ways)][]string
				for i, how := range ways {
					all, breach := m.Ends(how, script, at, byDeadline, Bounds{})
					if breach != nil {
						t.Fatalf("%s, %s, cancelled at %s: %s: %s", how, script.Name, at, breach.Invariant, breach.Text)
					}
					ends[i] = all
				}
				if len(ends[0])+len(ends[1]) > 0 {
					compared++
				}
				by := map[bool]string{false: "the customer", true: "the deadline"}[byDeadline]
				for i, how := range ways {
					for _, end := range ends[i] {
						if !slices.Contains(ends[1-i], end) {
							found[fmt.Sprintf("| %s | %s | %s | %s | %s |", script.Name, at, by, end, how.Style)] = true
						}
					}
				}
			}
		}
	}
	return found, compared
}

// TestOnlyTheOtherStyleShowsIt: an orchestrator that gives up every order violates no invariant, but
// its orders end as no choreographed one does.
func TestOnlyTheOtherStyleShowsIt(t *testing.T) {
	t.Parallel()
	tables := Real()
	tables.Orchestrator = func(d orchestrator.Definition, s orchestrator.State, in orchestrator.Input) orchestrator.Decision {
		if s == orchestrator.Reserving && in == orchestrator.InventoryReserved {
			return orchestrator.Decision{Action: orchestrator.Compensate, Next: orchestrator.Releasing, Effect: orchestrator.ReleaseInventory}
		}
		return orchestrator.Decide(d, s, in)
	}
	m := New(tables, Rules{})
	well := Scripts()[0]
	choreographed, _ := m.Ends(Coordination{}, well, Never, false, Bounds{})
	orchestrated, breach := m.Ends(Coordination{Style: Orchestrated}, well, Never, false, Bounds{})
	if breach != nil || slices.Equal(choreographed, orchestrated) {
		t.Errorf("breach %v; both styles end as %v", breach, orchestrated)
	}
}
