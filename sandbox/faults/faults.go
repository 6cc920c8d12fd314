// Package faults is how a sandbox server is broken on purpose: rules that match
// operations and say what goes wrong with them.
//
// Every rule that matches a call takes part. Latencies add up; of the other effects
// the earliest rule's wins. A rule with times is used up after that many calls.
// Rules live in memory: a restarted server is a healthy one. What a rule did to the
// ledger (a decline, a refusal, a changed delay) stays, because the ledger keeps it.
//
// The connection faults differ in what they leave behind: down cuts the connection
// before anything was done; answerLost does everything, durably, and then cuts it.
// To the caller both look the same, which is the point: only asking by key tells.
package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Match selects calls; an empty member matches everything.
type Match struct {
	OrderID    string `json:"orderId,omitempty"`
	CustomerID string `json:"customerId,omitempty"`
	Operation  string `json:"operation,omitempty"`
	Key        string `json:"key,omitempty"`
}

// Rule is one fault as POST /faults takes it and GET /faults shows it. Durations are
// in milliseconds.
type Rule struct {
	// ID names the rule for DELETE; given by the server when empty. Adding a rule
	// with an ID in use replaces that rule.
	ID    string `json:"id"`
	Match Match  `json:"match"`

	// LatencyMs delays the operation before it is looked at.
	LatencyMs int64 `json:"latencyMs,omitempty"`
	// Status answers with this HTTP status (400 to 599) and does nothing.
	Status int `json:"status,omitempty"`
	// Down cuts the connection and does nothing.
	Down bool `json:"down,omitempty"`
	// AnswerLost does everything and cuts the connection in place of an answer.
	AnswerLost bool `json:"answerLost,omitempty"`
	// Decline makes the gateway decline charges with this code.
	Decline string `json:"decline,omitempty"`
	// Refuse makes the carrier refuse shipments with this code.
	Refuse string `json:"refuse,omitempty"`
	// DispatchAfterMs and DeliverAfterMs replace the carrier's delays for shipments
	// scheduled while the rule is there.
	DispatchAfterMs *int64 `json:"dispatchAfterMs,omitempty"`
	DeliverAfterMs  *int64 `json:"deliverAfterMs,omitempty"`

	// Probability is the chance, 0 to 1, that the rule acts on a matching call;
	// absent means always.
	Probability *float64 `json:"probability,omitempty"`
	// Times is how many more calls the rule acts on; absent means no limit.
	Times *int `json:"times,omitempty"`
}

// Call describes an operation asked of a server. Members the server cannot know yet
// (the order of a key it has never seen) are empty and match only empty members.
type Call struct {
	Operation  string
	OrderID    string
	CustomerID string
	Key        string
}

// Effect is what the rules do to one call.
type Effect struct {
	Latency       time.Duration
	Status        int
	Down          bool
	AnswerLost    bool
	Decline       string
	Refuse        string
	DispatchAfter *time.Duration
	DeliverAfter  *time.Duration
}

// Abilities says which rules make sense for a server, so that a rule that could never
// act is refused and not silently kept.
type Abilities struct {
	Operations []string
	Decline    bool
	Refuse     bool
	Delays     bool
}

// Set holds the rules of one server. Its methods may be called from any goroutine.
type Set struct {
	abilities Abilities
	chance    func() float64

	mu    sync.Mutex
	rules []Rule
	last  int
}

// New returns a set without rules.
func New(abilities Abilities) *Set {
	return &Set{abilities: abilities, chance: rand.Float64}
}

// Add puts a rule behind the others, or in place of the one with its ID, and returns it
// as kept. The error says what is wrong with the rule.
func (s *Set) Add(rule Rule) (Rule, error) {
	if err := s.check(rule); err != nil {
		return Rule{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for taken := rule.ID == ""; taken; taken = s.find(rule.ID) >= 0 {
		s.last++
		rule.ID = fmt.Sprintf("fault-%d", s.last)
	}
	if i := s.find(rule.ID); i >= 0 {
		s.rules[i] = rule
	} else {
		s.rules = append(s.rules, rule)
	}
	return rule, nil
}

func (s *Set) find(id string) int {
	return slices.IndexFunc(s.rules, func(r Rule) bool { return r.ID == id })
}

func (s *Set) check(rule Rule) error {
	switch {
	case rule.Match.Operation != "" && !slices.Contains(s.abilities.Operations, rule.Match.Operation):
		return fmt.Errorf("match.operation %q is none of %v", rule.Match.Operation, s.abilities.Operations)
	case rule.LatencyMs < 0:
		return fmt.Errorf("latencyMs is negative")
	case rule.Status != 0 && (rule.Status < 400 || rule.Status > 599):
		return fmt.Errorf("status %d is not in 400 to 599", rule.Status)
	case rule.Decline != "" && !s.abilities.Decline:
		return fmt.Errorf("decline: this server makes no charges")
	case rule.Refuse != "" && !s.abilities.Refuse:
		return fmt.Errorf("refuse: this server takes no shipments")
	case (rule.DispatchAfterMs != nil || rule.DeliverAfterMs != nil) && !s.abilities.Delays:
		return fmt.Errorf("dispatchAfterMs, deliverAfterMs: this server takes no shipments")
	case negative(rule.DispatchAfterMs) || negative(rule.DeliverAfterMs):
		return fmt.Errorf("dispatchAfterMs and deliverAfterMs must not be negative")
	case rule.Probability != nil && !(*rule.Probability >= 0 && *rule.Probability <= 1):
		return fmt.Errorf("probability is not in 0 to 1")
	case rule.Times != nil && *rule.Times < 1:
		return fmt.Errorf("times is less than 1")
	case !rule.acts():
		return fmt.Errorf("the rule has no effect: give latencyMs, status, down, answerLost, decline, refuse, dispatchAfterMs or deliverAfterMs")
	}
	return nil
}

func negative(ms *int64) bool { return ms != nil && *ms < 0 }

func (r Rule) acts() bool {
	return r.LatencyMs > 0 || r.Status != 0 || r.Down || r.AnswerLost || r.Decline != "" ||
		r.Refuse != "" || r.DispatchAfterMs != nil || r.DeliverAfterMs != nil
}

// List returns the rules in the order they act.
func (s *Set) List() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A copy of Times, because Take counts it down.
	rules := slices.Clone(s.rules)
	for i, r := range rules {
		if r.Times != nil {
			left := *r.Times
			rules[i].Times = &left
		}
	}
	return rules
}

// Remove takes out the rule with this ID and reports whether there was one.
func (s *Set) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i < 0 {
		return false
	}
	s.rules = slices.Delete(s.rules, i, i+1)
	return true
}

// Clear takes out all rules.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Take returns what the rules do to the call and uses up their times.
func (s *Set) Take(call Call) Effect {
	s.mu.Lock()
	defer s.mu.Unlock()
	var effect Effect
	kept := s.rules[:0]
	for _, rule := range s.rules {
		if rule.matches(call) && (rule.Probability == nil || s.chance() < *rule.Probability) {
			effect.add(rule)
			if rule.Times != nil {
				left := *rule.Times - 1
				if left == 0 {
					continue
				}
				rule.Times = &left
			}
		}
		kept = append(kept, rule)
	}
	clear(s.rules[len(kept):])
	s.rules = kept
	return effect
}

func (r Rule) matches(c Call) bool {
	m := r.Match
	return (m.OrderID == "" || m.OrderID == c.OrderID) &&
		(m.CustomerID == "" || m.CustomerID == c.CustomerID) &&
		(m.Operation == "" || m.Operation == c.Operation) &&
		(m.Key == "" || m.Key == c.Key)
}

func (e *Effect) add(r Rule) {
	e.Latency += milliseconds(r.LatencyMs)
	e.Down = e.Down || r.Down
	e.AnswerLost = e.AnswerLost || r.AnswerLost
	if e.Status == 0 {
		e.Status = r.Status
	}
	if e.Decline == "" {
		e.Decline = r.Decline
	}
	if e.Refuse == "" {
		e.Refuse = r.Refuse
	}
	if e.DispatchAfter == nil && r.DispatchAfterMs != nil {
		d := milliseconds(*r.DispatchAfterMs)
		e.DispatchAfter = &d
	}
	if e.DeliverAfter == nil && r.DeliverAfterMs != nil {
		d := milliseconds(*r.DeliverAfterMs)
		e.DeliverAfter = &d
	}
}

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
