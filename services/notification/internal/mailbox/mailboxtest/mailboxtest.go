// Package mailboxtest is for tests only. It is a mail provider in memory with the provider's HTTP API.
// Tests decide which answers get lost.
package mailboxtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Mailbox is a running provider. [Start] creates it, and the end of the test stops it.
type Mailbox struct {
	URL string

	mu       sync.Mutex
	switches Switches
	mails    map[string]mail
	arrived  []string
	requests int
}

// Switches are the faults of the provider.
type Switches struct {
	Refuse     string // refuse new mails with this code
	AnswerLost int    // carry out this number of PUT requests without an answer
	Down       bool   // cut every connection and do nothing
	Status     int    // answer every request with this status and do nothing
	Put        int    // answer PUT requests with this status and do nothing
	NoLookup   bool   // answer lookups by key with 503
}

type mail struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	To         string `json:"to"`
	Subject    string `json:"subject"`
	Text       string `json:"text"`

	refused string
}

// Start starts a provider.
func Start(t testing.TB) *Mailbox {
	t.Helper()
	m := &Mailbox{mails: map[string]mail{}}
	server := httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(server.Close)
	m.URL = server.URL
	return m
}

// Switch replaces the switches.
func (m *Mailbox) Switch(s Switches) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.switches = s
}

// Arrived lists the delivered mails, oldest first: "key to subject", and the text below it.
func (m *Mailbox) Arrived() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.arrived)
}

// Requests returns the number of requests so far.
func (m *Mailbox) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests
}

func (m *Mailbox) serve(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	key, found := strings.CutPrefix(r.URL.Path, "/v1/mails/")
	s := m.switches
	switch {
	case s.Down:
		panic(http.ErrAbortHandler)
	case s.Status != 0:
		w.WriteHeader(s.Status)
	case !found:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet && s.NoLookup:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Method == http.MethodGet:
		m.lookup(w, key)
	case r.Method == http.MethodPut && s.Put != 0:
		w.WriteHeader(s.Put)
	case r.Method == http.MethodPut:
		m.put(w, r, key)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (m *Mailbox) lookup(w http.ResponseWriter, key string) {
	known, ok := m.mails[key]
	switch {
	case !ok:
		answer(w, http.StatusNotFound, "", "unknown_mail")
	case known.refused != "":
		answer(w, http.StatusOK, "refused", known.refused)
	default:
		answer(w, http.StatusOK, "delivered", "")
	}
}

func (m *Mailbox) put(w http.ResponseWriter, r *http.Request, key string) {
	var sent mail
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		answer(w, http.StatusBadRequest, "", "bad_request")
		return
	}
	known, again := m.mails[key]
	if !again {
		known, known.refused = sent, m.switches.Refuse
		m.mails[key] = known
		if known.refused == "" {
			m.arrived = append(m.arrived, fmt.Sprintf("%s %s %s\n%s", key, sent.To, sent.Subject, sent.Text))
		}
	}
	if m.switches.AnswerLost > 0 {
		m.switches.AnswerLost--
		panic(http.ErrAbortHandler)
	}
	sent.refused = known.refused
	switch {
	case sent != known:
		answer(w, http.StatusUnprocessableEntity, "", "idempotency_key_reused")
	case known.refused != "":
		answer(w, http.StatusUnprocessableEntity, "", known.refused)
	case again:
		answer(w, http.StatusOK, "delivered", "")
	default:
		answer(w, http.StatusCreated, "delivered", "")
	}
}

func answer(w http.ResponseWriter, status int, state, code string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": state, "code": code})
}
