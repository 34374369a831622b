/** The texts of the editors and toasts. A text that a language lacks is shown in English. */

/** @typedef {keyof typeof ENGLISH} TextKey */

const ENGLISH = {
  placementLabel: "Placement of the subject in the scene",
  placementHelp:
    "Drag to move; drag a corner to resize (Alt: around the center); drag the handle to rotate (Shift: in steps of " +
    "15°). Keys: arrows move by 1 px (Shift: 10 px), + and − resize, R rotates (Shift+R: the other way), F flips, " +
    "0 resets. Ctrl+wheel resizes. Hold Alt to drag without snapping.",
  pickerLabel: "Points and box on the image",
  pickerHelp:
    "Click: a point on the subject. Shift-click or right-click: a point on the background. Drag: a box. " +
    "Drag a point to move it; click it to remove it.",
  snap: "Snap",
  snapHelp: "Snaps the subject to the center of the scene and to the ground.",
  flip: "Flip",
  reset: "Reset",
  keep: "Keep placement",
  keepHelp: "Copies the random placement of the last run into the widgets, and sets placement to manual.",
  clear: "Clear",
  clearHelp: "Removes all points and the box.",
  mask: "Mask",
  maskHelp: "Shows the mask of the last run.",
  noScene: "Connect a background, or the paste of an earlier Paste & Blend.",
  noSubject: "Connect a subject.",
  noImage: "Connect an image.",
  runFirst: "Run once to see the image: other nodes create it.",
  runForMask: "Run once to see the subject's outline.",
  noMask: "Connect a mask to subject_mask; Segment makes one.",
  invertedMask: "This mask looks inverted: 1 (white) must be the subject. Put Invert Mask before it.",
  noSegmenter: "Connect a segmenter; Load Segmenter gives one.",
  noPrompt: "Click the subject, or drag a box around it.",
  large: "Large",
  largeHelp: "Opens this editor in a large window. Esc closes it.",
  loading: "Loading …",
  lost: "{name} cannot be shown: the file is missing, empty or not an image.",
  emptyMask: "The mask is empty.",
  badNumber: "{name} is {value}; it must be a number from {low} to {high}. Press Reset to fix it.",
  badText: "{name} cannot be read: {value}. Correct or clear it.",
  fromLink: "Set by a link, so it cannot be changed here: {names}.",
  fromPlacements: "The placement comes from the placements input.",
  random: "Random: shown where the last run placed it.",
  randomFirst: "Random: run once to see where it goes.",
  outside: "The subject is outside the scene.",
  asRun: "result of the last run",
  warningFrom: "Warning from {node}",
  notRun: "The graph cannot be run to this node",
  resultLabel: "The image before and after",
  resultHelp: "Drag the line to compare the composite, on its left, with the finished image. Arrow keys move it.",
  resultMaskHelp: "Shows what may differ from the background; everything else is darkened.",
  nextHelp: "Shows the next image of the batch.",
  noResult: "Run once to compare before and after.",
  before: "Before",
  after: "After",
  light: "light {gain}",
  identity: "identity {value}",
  neglected: "the model left the subject as it was",
  suppressed: "the model painted the subject away",
};

/** @type {Record<TextKey, string>} */
const FRENCH = {
  placementLabel: "Placement du sujet dans la scène",
  placementHelp:
    "Glisser pour déplacer ; glisser un coin pour redimensionner (Alt : autour du centre) ; glisser la poignée pour " +
    "tourner (Maj : par pas de 15°). Touches : les flèches déplacent de 1 px (Maj : 10 px), + et − redimensionnent, R " +
    "tourne (Maj+R : dans l'autre sens), F retourne, 0 réinitialise. Ctrl+molette redimensionne. Maintenir Alt pour " +
    "glisser sans aimantation.",
  pickerLabel: "Points et cadre sur l'image",
  pickerHelp:
    "Clic : point sur le sujet. Maj+clic ou clic droit : point sur l'arrière-plan. Glisser : cadre. Glisser " +
    "un point le déplace, un clic dessus l'enlève.",
  snap: "Aimanter",
  snapHelp: "Attire le sujet vers le centre de la scène et vers le sol.",
  flip: "Retourner",
  reset: "Réinitialiser",
  keep: "Garder le placement",
  keepHelp: "Copie le placement aléatoire du dernier passage dans les widgets et met le mode de placement sur « manuel ».",
  clear: "Effacer",
  clearHelp: "Supprime tous les points et le cadre.",
  mask: "Masque",
  maskHelp: "Montre le masque du dernier passage.",
  noScene: "Reliez un arrière-plan, ou le collage d'un « Coller et fondre » précédent.",
  noSubject: "Reliez un sujet.",
  noImage: "Reliez une image.",
  runFirst: "Lancez une fois pour voir l'image : d'autres nœuds la créent.",
  runForMask: "Lancez une fois pour voir le contour du sujet.",
  noMask: "Reliez un masque à « masque du sujet » ; « Segmenter / Détourer le sujet » en fait un.",
  invertedMask: "Ce masque semble inversé : 1 (blanc) doit être le sujet. Placez Inverser le masque avant.",
  noSegmenter: "Reliez un segmenteur ; « Charger un segmenteur » en donne un.",
  noPrompt: "Cliquez sur le sujet, ou tracez un cadre autour de lui.",
  large: "Agrandir",
  largeHelp: "Ouvre cet éditeur dans une grande fenêtre. Échap la ferme.",
  loading: "Chargement …",
  lost: "{name} ne peut être montré : le fichier est absent, vide ou n'est pas une image.",
  emptyMask: "Le masque est vide.",
  badNumber: "{name} vaut {value} ; il faut un nombre de {low} à {high}. Cliquez sur Réinitialiser pour corriger.",
  badText: "{name} est illisible : {value}. Corrigez ou effacez-le.",
  fromLink: "Fixé par un lien, donc non modifiable ici : {names}.",
  fromPlacements: "Le placement vient de l'entrée placements.",
  random: "Aléatoire : montré là où le dernier passage l'a placé.",
  randomFirst: "Aléatoire : lancez une fois pour voir où il va.",
  outside: "Le sujet se trouve hors de la scène.",
  asRun: "résultat du dernier passage",
  warningFrom: "Avertissement de {node}",
  notRun: "Le graphe ne peut pas être exécuté jusqu'à ce nœud",
  resultLabel: "L'image avant et après",
  resultHelp:
    "Glisser la ligne pour comparer le composite, à gauche, avec l'image finie. Les flèches la déplacent aussi.",
  resultMaskHelp: "Montre ce qui peut différer de l'arrière-plan ; le reste est assombri.",
  nextHelp: "Montre l'image suivante du lot.",
  noResult: "Lancez une fois pour comparer avant et après.",
  before: "Avant",
  after: "Après",
  light: "lumière {gain}",
  identity: "identité {value}",
  neglected: "le modèle a laissé le sujet tel quel",
  suppressed: "le modèle a effacé le sujet",
};

/** @type {Record<TextKey, string>} */
const CHINESE = {
  placementLabel: "主体在场景中的位置",
  placementHelp:
    "拖动以移动；拖角点以缩放（Alt：围绕中心）；拖手柄以旋转（Shift：每步 15°）。按键：方向键移动 1 像素（Shift：10 像素），" +
    "+ 和 − 缩放，R 旋转（Shift+R：反方向），F 翻转，0 重置。Ctrl+滚轮缩放。拖动时按住 Alt 不吸附。",
  pickerLabel: "图片上的点和边框",
  pickerHelp: "单击：主体上的点。Shift+单击或右键单击：背景上的点。拖动：边框。拖动点以移动它，单击点以删除它。",
  snap: "吸附",
  snapHelp: "把主体吸附到场景中心和地面。",
  flip: "翻转",
  reset: "重置",
  keep: "保留位置",
  keepHelp: "把上次运行的随机位置写入各控件，并把放置方式设为“手动”。",
  clear: "清除",
  clearHelp: "删除所有点和边框。",
  mask: "遮罩",
  maskHelp: "显示上次运行的遮罩。",
  noScene: "请连接背景，或前一个“粘贴与融合”的粘贴结果。",
  noSubject: "请连接主体。",
  noImage: "请连接图像。",
  runFirst: "图片由其他节点生成：运行一次即可看到。",
  runForMask: "运行一次即可看到主体的轮廓。",
  noMask: "请把遮罩连接到“主体遮罩”；“分割 / 抠出主体”可以生成遮罩。",
  invertedMask: "这个遮罩似乎反了：1（白色）必须是主体。请在它前面加“反转遮罩”。",
  noSegmenter: "请连接分割器；“加载分割器”提供它。",
  noPrompt: "单击主体，或拖动边框围住它。",
  large: "放大",
  largeHelp: "在大窗口中打开此编辑器。按 Esc 关闭。",
  loading: "加载中…",
  lost: "无法显示 {name}：文件不存在、为空或不是图片。",
  emptyMask: "遮罩为空。",
  badNumber: "{name} 为 {value}；必须是 {low} 到 {high} 之间的数字。按“重置”即可修复。",
  badText: "无法读取 {name}：{value}。请更正或清除。",
  fromLink: "由连线设置，因此不能在此更改：{names}。",
  fromPlacements: "位置来自“位置列表”输入。",
  random: "随机：显示上次运行放置的位置。",
  randomFirst: "随机：运行一次即可看到位置。",
  outside: "主体在场景之外。",
  asRun: "上次运行的结果",
  warningFrom: "来自 {node} 的警告",
  notRun: "无法运行到此节点",
  resultLabel: "处理前后的图片",
  resultHelp: "拖动分隔线，比较左侧的合成图与成品图。方向键也可移动它。",
  resultMaskHelp: "显示可能与背景不同的部分；其余部分变暗。",
  nextHelp: "显示批次中的下一张图片。",
  noResult: "运行一次即可比较前后。",
  before: "之前",
  after: "之后",
  light: "光照 {gain}",
  identity: "相似度 {value}",
  neglected: "模型没有改变主体",
  suppressed: "模型抹去了主体",
};

/** @type {Record<string, Partial<typeof ENGLISH>>} */
export const LANGUAGES = { en: ENGLISH, fr: FRENCH, zh: CHINESE };

/**
 * A text in a language such as "de" or "zh-TW", with {name} replaced by that value.
 * @param {string} language @param {TextKey} key @param {Record<string, unknown>} [values]
 */
export function translate(language, key, values = {}) {
  const texts = LANGUAGES[language] ?? LANGUAGES[language.split("-")[0]] ?? ENGLISH;
  const text = texts[key] ?? ENGLISH[key];
  return text.replace(/\{(\w+)\}/g, (hole, name) => (name in values ? String(values[name]) : hole));
}
