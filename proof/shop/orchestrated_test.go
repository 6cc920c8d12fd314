package shop

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/proof/check"
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

// orchestratedBounds are the bounds of quick, without one that has a million states here, and those of the
// orchestrator. In the first of them cells are noted, which takes half of the time.
func orchestratedBounds() (noting, wide []Bounds) {
	return []Bounds{{}, {Lost: 1, Spent: 1}, {Crashes: 1, Spent: 2}, {Late: 1}, {Retries: 1}},
		[]Bounds{{Crashes: 1, Lost: 1}, {Duplicates: 1, Forgotten: 1}}
}

// orchestratedEnds has the ways to end by definition: order, payment, reservation, shipment.
var orchestratedEnds = [][]string{
	{
		"DELIVERED COMPLETED SHIPPED DELIVERED", // as it should be
		"CANCELLED FAILED  ",                    // the card was declined
		"CANCELLED REFUNDED REJECTED ",          // out of stock
		"CANCELLED REFUNDED RELEASED FAILED",    // the carrier refused
		"CANCELLED REFUNDED RELEASED CANCELLED", // cancelled after the booking was commanded, and in time
		"CANCELLED REFUNDED RELEASED ",          // cancelled before that
		"CANCELLED REFUNDED CANCELLED ",         // cancelled before the reservation, which was commanded
		"CANCELLED REFUNDED  ",                  // cancelled before that
		"CANCELLED VOIDED  ",                    // cancelled before the charge
	},
	{
		"DELIVERED COMPLETED SHIPPED DELIVERED", // as it should be
		"CANCELLED FAILED RELEASED ",            // the card was declined
		"CANCELLED NONE REJECTED ",              // out of stock
		"CANCELLED REFUNDED RELEASED FAILED",    // the carrier refused
		"CANCELLED REFUNDED RELEASED CANCELLED", // cancelled after the booking was commanded, and in time
		"CANCELLED REFUNDED RELEASED ",          // cancelled before that
		"CANCELLED VOIDED RELEASED ",            // cancelled before the charge, which was commanded
		"CANCELLED NONE RELEASED ",              // cancelled before that
		"CANCELLED NONE CANCELLED ",             // cancelled before the reservation
	},
}

// awaitedAnswers are the answers to commands that move a saga on by themselves, with its state. In all other
// runs the event of the step comes first, or the saga has gone on.
var awaitedAnswers = []string{"ConfirmOrder: unchanged in CONFIRMING", "ReleaseInventory: unchanged in RELEASING"}

// TestOneOrchestratedOrder visits all states of one orchestrated order within the quick bounds, under each
// definition, and checks what the model reaches, as TestOneOrder does.
func TestOneOrchestratedOrder(t *testing.T) {
	t.Parallel()
	for _, d := range orchestrator.Definitions() {
		t.Run(fmt.Sprintf("definition %d", d.Version), func(t *testing.T) {
			t.Parallel()
			oneOrchestratedOrder(t, d)
		})
	}
}

func oneOrchestratedOrder(t *testing.T, d orchestrator.Definition) {
	r := &reached{map[cell]bool{}, map[kind]bool{}, map[string]bool{}}
	m := New(r.tables(), Rules{})
	how := Coordination{Orchestrated, d.Version}
	noting, wide := orchestratedBounds()
	page := r.visit(t, m, how, noting)
	r.visit(t, New(Real(), Rules{}), how, wide)
	// As in the choreographed style, the request depends on the input alone, so no real table needs another
	// answer in the transaction than before it.
	impossible := []kind{triesAgain}
	for k := range feedLine + 1 {
		if r.kinds[k] == slices.Contains(impossible, k) {
			t.Errorf("move %q: %t", m.text(Move{kind: k}).Text, r.kinds[k])
		}
	}
	want := slices.Sorted(slices.Values(orchestratedEnds[d.Version-1]))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(r.ends))); diff != "" {
		t.Errorf("ways to end: order, payment, reservation, shipment (-want +got):\n%s", diff)
	}
	sagas := len(orchestrator.States()) * len(orchestrator.Inputs())
	used := 0
	for c := range r.cells {
		if c.table != "orchestrator" {
			continue
		}
		used++
		decision := orchestrator.Decide(d, orchestrator.State(c.state), orchestrator.Input(c.input))
		if own := strings.Contains(c.input, ": "); own && (decision.Action != orchestrator.Duplicate) != slices.Contains(awaitedAnswers, c.input+" in "+c.state) {
			t.Errorf("README.md says of which answers some are awaited: %s in %s: %s", c.input, c.state, decision.Action)
		}
	}
	if says := fmt.Sprintf("%d of the %d cells of the orchestrator's table of definition %d", used, sagas, d.Version); !strings.Contains(page, says) {
		t.Errorf("README.md does not say %q", says)
	}
	// Not used of the services' tables: what drafts and the other style have. Not used of the orchestrator's:
	// refusals of what undoes a step, since none is sent after the dispatch but CancelShipment.
	for _, table := range []struct {
		name           string
		states, inputs []string
	}{
		{"orchestrator", nil, []string{"CancelOrder: refused", "RefundPayment: refused", "ReleaseInventory: refused"}},
		{"order", []string{"", "DISCARDED", "DRAFT"}, replaced("order")},
		{"payment", nil, replaced("payment")},
		{"inventory", []string{"AWAITING_ITEMS", "AWAITING_PAYMENT"}, replaced("inventory")},
		{"shipping", []string{"AWAITING_ADDRESS", "AWAITING_RESERVATION"}, replaced("shipping")},
	} {
		states, inputs := r.unused(table.name)
		if diff := cmp.Diff(table.states, states); diff != "" {
			t.Errorf("%s: states that are not used (-want +got):\n%s", table.name, diff)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(table.inputs)), inputs); diff != "" {
			t.Errorf("%s: inputs that are not used (-want +got):\n%s", table.name, diff)
		}
	}
}

// TestTheDiagramsAreTheTables: docs/saga.md has a diagram per definition. Its arrows are the changes of state
// in the table, with the command that each sends, but for a dispatch that only the delivery shows.
func TestTheDiagramsAreTheTables(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/saga.md")
	if err != nil {
		t.Fatal(err)
	}
	arrow := regexp.MustCompile(`(?m)^  (\S+) --> ([A-Z]+)(?:: [^/\n]*(?:/ (\w+))?)?$`)
	for i, d := range orchestrator.Definitions() {
		heading := []string{"orchestrator", "definition 2"}[i]
		_, section, _ := strings.Cut(string(page), "\n### "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n```\n")
		got, want := map[string]bool{}, map[string]bool{}
		for _, m := range arrow.FindAllStringSubmatch(section, -1) {
			got[fmt.Sprintf("%s → %s %s", strings.Replace(m[1], "[*]", "", 1), m[2], m[3])] = true
		}
		for _, s := range orchestrator.States() {
			for _, in := range orchestrator.Inputs() {
				decision := orchestrator.Decide(d, s, in)
				if decision.Next != s && (decision.Next != orchestrator.Delivered || s == orchestrator.Shipped) {
					want[fmt.Sprintf("%s → %s %s", s, decision.Next, decision.Effect)] = true
				}
			}
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("definition %d (-table +diagram):\n%s", d.Version, diff)
		}
	}
}

// replaced lists the events that a service handles for choreographed orders only.
func replaced(service string) []string {
	var out []string
	for _, typ := range events.Catalogue().Types() {
		if slices.Contains(verify.Subscribers(typ.Name), service) && !slices.Contains(verify.SubscribersOf(typ.Name, event.Orchestrated), service) {
			out = append(out, typ.Name)
		}
	}
	return out
}

// table lists the states and inputs of a table.
func table(name string) (states, inputs []string) {
	switch name {
	case "order":
		return texts(order.States()), texts(order.Inputs())
	case "payment":
		return texts(payment.States()), texts(payment.Inputs())
	case "inventory":
		return texts(inventory.States()), texts(inventory.Inputs())
	case "shipping":
		return texts(shipping.States()), texts(shipping.Inputs())
	}
	return texts(orchestrator.States()), texts(orchestrator.Inputs())
}

func texts[T ~string](all []T) []string {
	var out []string
	for _, v := range all {
		out = append(out, string(v))
	}
	return out
}

// unused lists the states and inputs of a table that no run uses, sorted.
func (r *reached) unused(name string) (states, inputs []string) {
	allStates, allInputs := table(name)
	usedStates, usedInputs := map[string]bool{}, map[string]bool{}
	for c := range r.cells {
		if c.table == name {
			usedStates[c.state], usedInputs[c.input] = true, true
		}
	}
	states = slices.DeleteFunc(allStates, func(s string) bool { return usedStates[s] })
	inputs = slices.DeleteFunc(allInputs, func(in string) bool { return usedInputs[in] })
	slices.Sort(states)
	slices.Sort(inputs)
	if len(states) == 0 {
		states = nil
	}
	return states, inputs
}

// TestOneOrderOfEachStyle runs two orders of the same SKU at random, one of each style or one under each
// definition. There is stock for one of them.
func TestOneOrderOfEachStyle(t *testing.T) {
	t.Parallel()
	m := New(Real(), Rules{})
	bounds := Bounds{Crashes: 2, Duplicates: 2, Forgotten: 1, Lost: 2, Spent: 1, Late: 1, Retries: 1}
	first, second := Coordination{Orchestrated, 1}, Coordination{Orchestrated, 2}
	report(t, m, check.Walk(m.System([]Coordination{{}, first}, bounds, 1), 1000, 1))
	report(t, m, check.Walk(m.System([]Coordination{first, first}, bounds, 1), 500, 1))
	report(t, m, check.Walk(m.System([]Coordination{first, second}, bounds, 1), 500, 1))
	report(t, m, check.Walk(m.System([]Coordination{{}, second}, bounds, 1), 500, 1))
}

// TestCommandsAndAnswersAreInTheCatalogue: every command of the orchestrator's table is a type on its
// receiver's topic, and so is the event that answers it. The catalogue has no others.
func TestCommandsAndAnswersAreInTheCatalogue(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for _, c := range orchestrator.Effects() {
		want[string(c)] = topicName(topicOf(c))
		want[answerEvent(c)] = names[receiver(c)] + ".events"
	}
	got := map[string]string{}
	for _, typ := range events.Catalogue().Types() {
		if _, commands := events.IsCommands(typ.Topic); commands || strings.HasSuffix(typ.Name, "CommandAnswered") {
			got[typ.Name] = typ.Topic
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("topics of commands and answers (-model +catalogue):\n%s", diff)
	}
	m := New(Real(), Rules{})
	for _, fact := range m.facts {
		if strings.HasSuffix(fact, "CommandAnswered") {
			t.Errorf("the model has the event %s and its outcomes", fact)
		}
	}
}
