// Package faults breaks a sandbox server on purpose. Rules match operations and define their
// faults.
//
// Every rule that matches a call takes part. Latencies add up. For every other effect, the earliest
// rule takes precedence. A rule with times is removed after that many calls. Rules are kept in
// memory, so a restarted server has none. The effects of a rule on the ledger (a decline, a
// refusal, a changed delay) remain, because the ledger stores them.
//
// The connection faults differ in their effect. down cuts the connection before anything is done.
// answerLost does everything durably and then cuts the connection. The caller cannot distinguish
// them without a lookup by key. That is their purpose.
package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Match selects calls. An empty member matches everything.
type Match struct {
	OrderID    string `json:"orderId,omitempty"`
	CustomerID string `json:"customerId,omitempty"`
	Operation  string `json:"operation,omitempty"`
	Key        string `json:"key,omitempty"`
}

// Rule is one fault, as POST /faults takes it and GET /faults returns it. Durations are in
// milliseconds.
type Rule struct {
	// ID names the rule for DELETE. The server sets it when it is empty. A rule with an existing ID
	// replaces that rule.
	ID    string `json:"id"`
	Match Match  `json:"match"`

	// LatencyMs delays the operation before anything is done.
	LatencyMs int64 `json:"latencyMs,omitempty"`
	// Status answers with this HTTP status (400 to 599) and does nothing.
	Status int `json:"status,omitempty"`
	// Down cuts the connection and does nothing.
	Down bool `json:"down,omitempty"`
	// AnswerLost does everything and then cuts the connection instead of answering.
	AnswerLost bool `json:"answerLost,omitempty"`
	// Decline makes the gateway decline charges with this code.
	Decline string `json:"decline,omitempty"`
	// Refuse makes the carrier refuse shipments, and the mailbox mails, with this code.
	Refuse string `json:"refuse,omitempty"`
	// DispatchAfterMs and DeliverAfterMs replace the carrier's delays for shipments that are
	// scheduled while the rule exists.
	DispatchAfterMs *int64 `json:"dispatchAfterMs,omitempty"`
	DeliverAfterMs  *int64 `json:"deliverAfterMs,omitempty"`

	// Probability is the chance, 0 to 1, that the rule applies to a matching call. Absent means
	// always.
	Probability *float64 `json:"probability,omitempty"`
	// Times is the number of calls that the rule still applies to. Absent means no limit.
	Times *int `json:"times,omitempty"`
}

// Call describes an operation of a server. Members that the server does not know (such as the order
// of an unknown key) are empty and match only empty members of a [Match].
type Call struct {
	Operation  string
	OrderID    string
	CustomerID string
	Key        string
}

// Effect is the combined effect of the rules on one call.
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

// Abilities lists the rules that make sense for a server. A rule that could never apply is refused.
type Abilities struct {
	Operations []string
	Decline    bool
	Refuse     bool
	Delays     bool
}

// Set holds the rules of one server. It is safe for concurrent use.
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

// Add appends a rule, or replaces the rule with the same ID, and returns the stored rule. The error
// describes what is wrong with the rule.
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

// List returns the rules in the order in which they apply.
func (s *Set) List() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Copy Times, because Take counts it down.
	rules := slices.Clone(s.rules)
	for i, r := range rules {
		if r.Times != nil {
			left := *r.Times
			rules[i].Times = &left
		}
	}
	return rules
}

// Remove removes the rule with this ID and reports whether there was one.
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

// Clear removes all rules.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Take returns the effect of the rules on the call and counts down their times.
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
