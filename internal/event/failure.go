package event

// Failure is the data of every result that reports a failure, as schema failure has it.
type Failure struct {
	Reason     string        `json:"reason"`
	Code       string        `json:"code"`
	Message    string        `json:"message"` // masked
	RequestID  string        `json:"requestId"`
	Attempts   int           `json:"attempts"`
	DeadLetter FailureLetter `json:"deadLetter"`
}

// FailureLetter names the letter of the first failure.
type FailureLetter struct {
	ID uint64 `json:"id"`
}
