// The first pages of Agent Canvas, up to the first conversation.
export function onboarding(page, model) {
  const id = (name) => page.getByTestId(name);
  return {
    async consents() {
      await id("confirm-telemetry-preferences").waitFor({ timeout: 60_000 });
      await page.locator("input[name=analytics]").uncheck();
      await id("confirm-telemetry-preferences").click();
      await id("onboarding-agent-next").click();
    },
    async keepsModel() {
      await id("onboarding-llm-settings").getByTestId("sdk-section-advanced-toggle").click();
      await id("llm-custom-model-input").fill("openai/scripted");
      await id("base-url-input").fill(model);
      await id("llm-api-key-input").fill("sk-test");
      await id("onboarding-llm-next").click();
      await page.waitForResponse((answer) => answer.url().endsWith("/activate") && answer.url().includes("agent-profiles"));
    },
    async starts(text) {
      await id("onboarding-hello-input").fill(text);
      await id("onboarding-hello-input-form").getByTestId("submit-button").click();
      await page.waitForURL(/\/conversations\/[0-9a-f-]{36}/, { waitUntil: "commit" });
      await page.getByText(text).first().waitFor();
    },
  };
}
