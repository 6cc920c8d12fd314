package api

import (
	"encoding/json"

	"github.com/google/uuid"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/db"
)

// view returns the API's representation of a payment.
func view(id uuid.UUID, p db.Payment, history []db.PaymentHistory) Payment {
	v := Payment{
		OrderId:        id,
		PaymentId:      app.PaymentID(p.OrderID),
		Status:         p.State,
		Saga:           p.SagaStyle,
		Version:        p.Version,
		Currency:       optional(p.Currency),
		ChargeId:       optional(p.ChargeID),
		RefundId:       optional(p.RefundID),
		DeclineCode:    optional(p.DeclineCode),
		Reason:         optional(p.Reason),
		Attempts:       p.Attempts,
		NextAttemptAt:  p.NextAttemptAt,
		LastError:      optional(p.LastError),
		NeedsAttention: p.Attention != "",
		Attention:      optional(p.Attention),
		CreatedAt:      p.CreatedAt,
		UpdatedAt:      p.UpdatedAt,
		History:        []HistoryEntry{},
	}
	if p.Currency != "" {
		v.Amount = amount(p)
		if p.ChargeID != "" {
			v.Captured = amount(p)
		}
		if p.RefundID != "" {
			v.Refunded = amount(p)
		}
	}
	for _, h := range history {
		v.History = append(v.History, HistoryEntry{
			At: h.At, Input: h.Input, Action: h.Action, Status: h.State, Detail: optional(h.Detail),
		})
	}
	return v
}

func amount(p db.Payment) *json.Number {
	n := httpapi.FormatAmount(p.Amount, p.Currency)
	return &n
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
