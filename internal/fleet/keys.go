package fleet

// WorkersKeys are the keys that workers write and nobody else: what they have agreed
// on, as opposed to what operators tell them. They have wildcards.
func WorkersKeys() []string {
	return []string{
		workerKeys + ">", quotaKey(">"), attemptsKeys("*") + ">", tenantKeys + ">",
		breakerKey(">"), actionKey(">"), credentialKey(">"), pushKey(">"),
	}
}
