// Package api is the HTTP edge of the notification service. It decodes a request, calls the use case
// and encodes the answer. openapi.yaml defines the valid requests, and httpapi.Validator enforces it
// before a handler runs. The API only reads. Events and the worker change a mail.
//
// The kind of an error selects its problem document (httpapi.WriteError). Bad input never causes a
// 5xx.
package api

import (
	"net/http"

	"github.com/google/uuid"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/notification/internal/app"
	"eventshop.example/services/notification/internal/db"
)

// API implements the generated ServerInterface.
type API struct {
	app *app.App
}

// GetMail handles GET /mails/{orderId}.
func (a *API) GetMail(w http.ResponseWriter, r *http.Request, id uuid.UUID) {
	row, err := a.app.Mail(r.Context(), id.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, view(id, row))
}

func view(id uuid.UUID, row db.Mail) Mail {
	return Mail{
		OrderId: id, Status: row.State, Style: present(row.Style), Attempts: row.Attempts,
		To: present(row.Recipient), Subject: present(row.Subject), Text: present(row.Body),
		Reason: present(row.Reason), Detail: present(row.LastError),
		PlacedAt: row.PlacedAt, EndedAt: row.EndedAt, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}
}

// present returns nil for an empty text, so that the answer omits it.
func present(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
