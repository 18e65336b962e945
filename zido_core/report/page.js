"use strict";
// Without this script the two pictures of a place stand side by side.
document.documentElement.classList.add("swipe");
for (const pair of document.querySelectorAll(".pair")) {
  const slider = document.createElement("input");
  slider.type = "range";
  slider.value = "50";
  slider.setAttribute("aria-label", "where the first picture ends and the second begins");
  slider.addEventListener("input", () => pair.style.setProperty("--at", slider.value + "%"));
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Blink";
  button.setAttribute("aria-pressed", "false");
  let timer = 0;
  button.addEventListener("click", () => {
    const blinking = pair.classList.toggle("blink");
    button.setAttribute("aria-pressed", String(blinking));
    clearInterval(timer);
    if (blinking) timer = setInterval(() => pair.classList.toggle("after"), 600);
  });
  const controls = document.createElement("div");
  controls.className = "controls";
  controls.append(slider, button);
  pair.after(controls);
}
